"""What the doctor says of one host: what it told of itself, what it found at its mirrors, and what the centre knows of it."""

from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version

from fleet.api.doctor import Check, Grade
from fleet.api.words import ago, moment
from fleet.history.inventory import hosts
from fleet.history.inventory.hosts import HostRow
from fleet.history.inventory.tiers import last_tier
from fleet.history.mirrors.probes import ProbeRow, latest_probes
from fleet.history.rules.refusing import refused_hosts
from fleet.history.sql.database import Database
from fleet.mirrors.probe import ProbeState
from fleet.updates.outcome import Tier


def looks_at(db: Database, name: str) -> Iterator[Check]:
    """Yield what is known of one host; raises NotFound. What stands among the conditions is not told of here."""
    row, now = hosts.host(db, name), db.now()
    yield _heard(row, now)
    if row.last_seen_at is None:
        return
    if why := refused_hosts(db, [row.id]).get(row.id):
        text, _, fix = why.partition("; ")
        yield Check(id="host.refused", grade=Grade.FAIL, text=text, fix=fix, subject=row.name)
    yield _engine(row)
    yield _agent(row)
    yield _waiting(row)
    yield _pulls(db, row)
    mine = [probe for probe in latest_probes(db) if probe.host_id == row.id]
    yield from map(_mirror, mine)
    if not mine:
        yield Check(
            id="host.mirrors",
            grade=Grade.SKIP,
            text="its mirrors: it has none, or did not look at them yet",
            fix=f"fleet mirror test {row.name}",
            subject=row.name,
        )


def _heard(row: HostRow, now: datetime) -> Check:
    told = {"id": "host.heard", "subject": row.name}
    if row.last_seen_at is None:
        fix = "start its agent with its join file: fleet agent --join FILE"
        return Check(**told, grade=Grade.FAIL, text="was never heard of", fix=fix)
    heard = f"was last heard of {ago(row.last_seen_at, now)}, at {moment(row.last_seen_at)}"
    if not row.silent(now):
        return Check(**told, grade=Grade.PASS, text=heard)
    fix = "is the machine up, its agent running, and the broker reachable from it?"
    return Check(**told, grade=Grade.FAIL, text=heard, fix=fix)


def _engine(row: HostRow) -> Check:
    store = "containerd store" if row.containerd_store else "image store of its own"
    text = f"engine {row.engine_name} {row.engine_version}, API {row.api_version}, {row.os}/{row.architecture}, {store}"
    if row.engine_version:
        return Check(id="host.engine", grade=Grade.PASS, text=text, subject=row.name)
    fix = "is Docker running there, and may the agent use its socket?"
    return Check(id="host.engine", grade=Grade.WARN, text="its engine is not known", fix=fix, subject=row.name)


def _agent(row: HostRow) -> Check:
    own = version("fleet-updater")
    if row.agent_version == own:
        return Check(id="host.agent", grade=Grade.PASS, text=f"agent {own}, as the centre", subject=row.name)
    text = f"agent {row.agent_version}, and the centre is {own}"
    return Check(id="host.agent", grade=Grade.WARN, text=text, fix="bring both to one version", subject=row.name)


def _waiting(row: HostRow) -> Check:
    if not row.outcomes_waiting:
        return Check(id="host.outcomes", grade=Grade.PASS, text="has told all its outcomes", subject=row.name)
    text = f"has {row.outcomes_waiting} outcomes that the centre did not confirm yet"
    fix = "is the inbox running? see: fleet doctor"
    return Check(id="host.outcomes", grade=Grade.WARN, text=text, fix=fix, subject=row.name)


def _pulls(db: Database, row: HostRow) -> Check:
    last = last_tier(db, row.id)
    if last is None:
        return Check(id="host.pulls", grade=Grade.SKIP, text="its pulls: there was none yet", subject=row.name)
    text = f"its last pull that brought bytes went by the way {last.tier}, {ago(last.at)}"
    if last.tier is not Tier.DAEMON:
        return Check(id="host.pulls", grade=Grade.PASS, text=text, subject=row.name)
    cause = "the engine pulled by itself: which mirror served is not known, and one that hangs is waited for"
    fix = "see why in the agent's log: engine pulls by itself"
    return Check(id="host.pulls", grade=Grade.WARN, text=text, cause=cause, fix=fix, subject=row.name)


def _mirror(probe: ProbeRow) -> Check:
    looked = f"{probe.mirror} for {probe.registry}: {probe.state.value} {ago(probe.recorded_at)}"
    if probe.state is ProbeState.OK:
        return Check(id="host.mirror", grade=Grade.PASS, text=looked, subject=probe.host)
    reason, _, fix = probe.reason.partition("; ")
    text = f"{looked}: {reason}" if reason else looked
    fix = fix or f"fleet mirror test {probe.host}"
    return Check(id="host.mirror", grade=Grade.WARN, text=text, fix=fix, subject=probe.host)
