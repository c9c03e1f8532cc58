"""What a person should know now: a declared catalogue, and a pure look at the facts for each entry.

Only what can be told truthfully stands here. A condition that another one explains is not shown beside it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from fleet.controller import pulse
from fleet.controller.resolving import is_low
from fleet.history import hosts, limits, queries, tags
from fleet.history.database import Database
from fleet.history.hosts import HostRow
from fleet.history.limits import LimitRow
from fleet.history.logins import MUTED_FOR
from fleet.history.mirror_report import MirrorDay, mirror_report
from fleet.history.pages import PageRequest
from fleet.history.probes import ProbeRow, latest_probes
from fleet.history.queries import OutcomeFilter, OutcomeRow
from fleet.history.tags import TagRow
from fleet.mirrors.probe import ProbeState
from fleet.updates.outcome import Result

ROLLBACKS_SINCE = timedelta(days=30)
"""How far back a failed way back is still looked for, where nothing happened to the container since."""
SKEW = timedelta(minutes=5)
"""How far a host's clock may be off before it is told; it decides nothing, but logs would mislead."""
FLOODS_SHOWN = timedelta(days=1)
"""How long it is told that a host flooded the broker."""
STRANGERS_SHOWN = timedelta(minutes=5)
"""How long a refused login is told of after it was last tried."""
BEHIND = 10_000
"""Messages that may wait in the inbox before it counts as behind: five seconds of its work."""
TLS_SOON = timedelta(days=14)
"""How long before a mirror's certificate expires it is told: time enough to have one renewed by hand."""
FALLBACK_RATE = 0.05
"""The part of pulls that may fall back before it is told."""
FALLBACK_PULLS = 20
"""Of fewer pulls no rate is made."""
_MOST = 200


class Severity(StrEnum):
    """How soon a person should look."""

    ERROR = "error"
    """Now: something is broken and stays so."""
    WARNING = "warning"
    """Today: something is not as it should be."""
    INFO = "info"
    """Some time: good to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the conditions are judged by."""

    now: datetime
    hosts: Sequence[HostRow] = ()
    tags: Sequence[TagRow] = ()
    rollbacks_failed: Sequence[OutcomeRow] = ()
    """Failed ways back that nothing came after."""
    last_tick: datetime | None = None
    """None: not known here."""
    inbox_waiting: int | None = None
    """None: not known here."""
    probes: Sequence[ProbeRow] = ()
    """What each host found when it last looked at its mirrors."""
    limits: Sequence[LimitRow] = ()
    mirror_days: Sequence[MirrorDay] = ()
    """How the sources did yesterday and today."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that a look found."""

    subject: str
    """The host, image or process; the same as long as it is the same."""
    text: str
    since: datetime | None = None
    """None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One entry of the catalogue."""

    code: str
    title: str
    severity: Severity
    look: Callable[[Facts], Iterable[Found]]
    after: timedelta = timedelta()
    """How long it must last before it is shown."""
    depends: tuple[str, ...] = ()
    """Codes that explain it: it is not shown beside one of these about the same subject, or about the centre."""
    remedy: str = ""
    """What to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One thing that a person should know now."""

    code: str
    title: str
    severity: Severity
    subject: str
    text: str
    remedy: str = ""
    since: datetime | None = None


CENTRE = "centre"
"""The subject of conditions that are not about one host or image."""


def _late(facts: Facts) -> Iterable[Found]:
    if facts.last_tick is not None:
        text = f"the planner last ticked at {facts.last_tick:%Y-%m-%d %H:%M:%S} UTC"
        yield Found(subject=CENTRE, text=text, since=facts.last_tick)


def _behind(facts: Facts) -> Iterable[Found]:
    if facts.inbox_waiting is not None and facts.inbox_waiting > BEHIND:
        yield Found(subject=CENTRE, text=f"{facts.inbox_waiting} messages of hosts wait to be read")


def _silent(facts: Facts) -> Iterable[Found]:
    for host in facts.hosts:
        if host.last_seen_at is not None:
            heard = host.last_seen_at
            text = f"{host.name} was last heard of at {heard:%Y-%m-%d %H:%M:%S} UTC"
            yield Found(subject=host.name, text=text, since=heard)


def _never_joined(facts: Facts) -> Iterable[Found]:
    for host in facts.hosts:
        if host.last_seen_at is None:
            yield Found(subject=host.name, text=f"{host.name} was never heard of", since=host.created_at)


def _twins(facts: Facts) -> Iterable[Found]:
    by_engine: dict[str, list[str]] = defaultdict(list)
    for host in facts.hosts:
        if host.engine_id:
            by_engine[host.engine_id].append(host.name)
    for engine, names in by_engine.items():
        if len(names) > 1:
            together = ", ".join(sorted(names))
            yield Found(subject=together, text=f"{together} report the same engine {engine[:20]}")


def _rivals(facts: Facts) -> Iterable[Found]:
    for host in facts.hosts:
        if host.rivals_at is not None:
            text = f"two agents speak as {host.name}; nothing is sent to it"
            yield Found(subject=host.name, text=text, since=host.rivals_at)


def _flooding(facts: Facts) -> Iterable[Found]:
    for host in facts.hosts:
        if host.muted_at is not None and host.muted_at > facts.now - FLOODS_SHOWN:
            again = host.muted_at + MUTED_FOR
            what = "it may send nothing until" if facts.now < again else "it could send nothing until"
            text = f"{host.name} sent more than the broker holds for all; {what} {again:%Y-%m-%d %H:%M:%S} UTC"
            yield Found(subject=host.name, text=text, since=host.muted_at)


def _strangers(facts: Facts) -> Iterable[Found]:
    for host in facts.hosts:
        if host.strangers_at is not None and host.strangers_at > facts.now - STRANGERS_SHOWN:
            text = f"somebody tries to log in as {host.name} with a password that does not hold any more"
            yield Found(subject=host.name, text=text, since=host.strangers_since)


def _rollbacks(facts: Facts) -> Iterable[Found]:
    for row in facts.rollbacks_failed:
        text = f"{row.container} on {row.host}: {row.reason or 'the way back failed'}"
        yield Found(subject=f"{row.host}/{row.container}", text=text, since=row.recorded_at)


def _problems(facts: Facts) -> Iterable[Found]:
    for host in facts.hosts:
        for problem in host.problems:
            yield Found(subject=host.name, text=f"{host.name}: {problem}")


def _skewed(facts: Facts) -> Iterable[Found]:
    for host in facts.hosts:
        if host.skew_ms is not None and abs(host.skew_ms) > SKEW.total_seconds() * 1000:
            minutes = round(abs(host.skew_ms) / 60_000)
            way = "ahead" if host.skew_ms > 0 else "behind"
            yield Found(subject=host.name, text=f"the clock of {host.name} is {minutes} minutes {way}")


def _unresolved(facts: Facts) -> Iterable[Found]:
    for tag in facts.tags:
        if tag.reason:
            yield Found(subject=tag.image, text=f"{tag.image}: {tag.reason}", since=tag.resolved_at)


def _went_back(facts: Facts) -> Iterable[Found]:
    for tag in facts.tags:
        if tag.refused_digest:
            yield Found(subject=tag.image, text=f"{tag.image}: {tag.reason}", since=tag.resolved_at)


def _limited(facts: Facts) -> Iterable[Found]:
    for row in facts.limits:
        if row.holds(facts.now) and is_low(row.remaining, row.limit):
            text = f"{row.endpoint} lets the centre ask {row.remaining} times more, of {row.limit}; checks wait"
            yield Found(subject=row.endpoint, text=text)


def _probed(*states: ProbeState) -> Callable[[Facts], Iterable[Found]]:
    """Return a look for mirrors that hosts found in one of *states*: one a mirror, however many hosts say so."""

    def look(facts: Facts) -> Iterable[Found]:
        by_mirror: dict[str, list[ProbeRow]] = defaultdict(list)
        for probe in facts.probes:
            if probe.state in states:
                by_mirror[probe.mirror].append(probe)
        for mirror, found in by_mirror.items():
            names = sorted({probe.host for probe in found})
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            text = f"{mirror}, from {names[0]}{more}: {found[0].reason}"
            yield Found(subject=mirror, text=text)

    return look


def _expiring(facts: Facts) -> Iterable[Found]:
    ends = {p.mirror: p.tls_not_after for p in facts.probes if p.tls_not_after is not None}
    for mirror, until in ends.items():
        if until < facts.now + TLS_SOON:
            yield Found(subject=mirror, text=f"the certificate of {mirror} expires at {until:%Y-%m-%d %H:%M} UTC")


def _falling_back(facts: Facts) -> Iterable[Found]:
    pulls = sum(day.served for day in facts.mirror_days)
    fell = sum(day.fallbacks for day in facts.mirror_days)
    if pulls >= FALLBACK_PULLS and fell > pulls * FALLBACK_RATE:
        text = f"{fell} of {pulls} pulls since yesterday were served after a source before had failed"
        yield Found(subject=CENTRE, text=text)


CATALOGUE: tuple[Kind, ...] = (
    Kind(
        code="scheduler-late",
        title="The scheduler does not run",
        severity=Severity.ERROR,
        look=_late,
        after=timedelta(minutes=1),
        remedy="look at the logs of planner and beat: fleet controller",
    ),
    Kind(
        code="inbox-behind",
        title="The inbox is behind",
        severity=Severity.ERROR,
        look=_behind,
        remedy="look at the log of the inbox, and for a host that floods it",
    ),
    Kind(
        code="rollback-failed",
        title="A way back failed",
        severity=Severity.ERROR,
        look=_rollbacks,
        remedy="look at the container on its host, then update it again",
    ),
    Kind(
        code="duplicate-engine",
        title="Two hosts share one engine",
        severity=Severity.ERROR,
        look=_twins,
        remedy="remove one with fleet host rm, or give a cloned machine an engine id of its own; only the one that was"
        " added first is updated",
    ),
    Kind(
        code="two-agents",
        title="Two agents speak as one host",
        severity=Severity.ERROR,
        look=_rivals,
        remedy="stop the one that is too many, then: fleet host rejoin NAME, for the other; a cloned machine is a host of"
        " its own: fleet host add",
    ),
    Kind(
        code="host-flooding",
        title="A host floods the broker",
        severity=Severity.ERROR,
        look=_flooding,
        remedy="look at what its agent does, and whether that is your agent; fleet host rejoin NAME lets it send at once",
    ),
    Kind(
        code="login-refused",
        title="A void login is tried",
        severity=Severity.WARNING,
        look=_strangers,
        after=timedelta(minutes=3),
        remedy="a join file was used on two machines, or a host lost its state: fleet host rejoin NAME",
    ),
    Kind(
        code="host-silent",
        title="A host is silent",
        severity=Severity.WARNING,
        look=_silent,
        after=timedelta(minutes=20),
        depends=("inbox-behind",),
        remedy="is the machine up, its agent running, and the broker reachable from it?",
    ),
    Kind(
        code="host-never-joined",
        title="A host never joined",
        severity=Severity.INFO,
        look=_never_joined,
        after=timedelta(hours=1),
        depends=("inbox-behind",),
        remedy="start its agent with its join file: fleet agent --join FILE",
    ),
    Kind(
        code="host-problem",
        title="A host has a problem",
        severity=Severity.WARNING,
        look=_problems,
        depends=("host-silent",),
        remedy="see: fleet doctor",
    ),
    Kind(
        code="host-clock",
        title="A host's clock is off",
        severity=Severity.INFO,
        look=_skewed,
        depends=("host-silent",),
        remedy="let the host keep its time by NTP; nothing of Fleet depends on it",
    ),
    Kind(
        code="mirror-down",
        title="A mirror does not answer",
        severity=Severity.WARNING,
        look=_probed(ProbeState.DOWN),
        remedy="look at it from the host: fleet mirror test HOST",
    ),
    Kind(
        code="mirror-tls",
        title="A mirror's certificate is not trusted",
        severity=Severity.WARNING,
        look=_probed(ProbeState.TLS),
        remedy="on the host, put its authority at /etc/docker/certs.d/MIRROR/ca.crt, or name the file as ca in the policy",
    ),
    Kind(
        code="mirror-missing",
        title="A mirror does not have an image",
        severity=Severity.INFO,
        look=_probed(ProbeState.MISSING),
        remedy="is its shape right, and does it stand in for this registry? see: fleet mirror explain IMAGE",
    ),
    Kind(
        code="mirror-stale",
        title="A mirror is behind its origin",
        severity=Severity.WARNING,
        look=_probed(ProbeState.STALE),
        remedy="let it fetch anew, or shorten how long it keeps tags; bytes by digest are not touched by it",
    ),
    Kind(
        code="mirror-auth-failed",
        title="A mirror refuses the host's login",
        severity=Severity.WARNING,
        look=_probed(ProbeState.UNAUTHORIZED),
        remedy="log in to the mirror's own host with docker login, on the host",
    ),
    Kind(
        code="mirror-tls-expires",
        title="A mirror's certificate expires",
        severity=Severity.WARNING,
        look=_expiring,
        remedy="renew it",
    ),
    Kind(
        code="fallback-rate",
        title="Many pulls fall back",
        severity=Severity.WARNING,
        look=_falling_back,
        remedy="see which mirror fails: fleet mirror stats",
    ),
    Kind(
        code="rate-limit-low",
        title="A registry's rate limit is nearly used up",
        severity=Severity.WARNING,
        look=_limited,
        remedy="log in to the registry, check less often, or pull through a mirror",
    ),
    Kind(
        code="tag-went-back",
        title="A tag went back to an older digest",
        severity=Severity.WARNING,
        look=_went_back,
        remedy="where it was taken back on purpose, name it under allow_back of [resolve]: fleet policy apply -f FILE",
    ),
    Kind(
        code="tag-unresolved",
        title="A tag cannot be checked",
        severity=Severity.WARNING,
        look=_unresolved,
        depends=("tag-went-back",),
        remedy="log in to the registry with docker login, or correct the image's name",
    ),
)
"""Every condition there is, the most urgent first."""


def judge(facts: Facts, catalogue: Iterable[Kind] = CATALOGUE) -> list[Condition]:
    """Return what holds now, in the catalogue's order."""
    shown: list[Condition] = []
    explained: dict[str, set[str]] = defaultdict(set)
    for kind in catalogue:
        for found in kind.look(facts):
            if found.since is not None and facts.now < found.since + kind.after:
                continue
            if any(explained[code] & {found.subject, CENTRE} for code in kind.depends):
                continue
            explained[kind.code].add(found.subject)
            shown.append(_condition(kind, found))
    return shown


def active(
    db: Database, *, state: Path | None = None, inbox_waiting: int | None = None, now: datetime | None = None
) -> list[Condition]:
    """Return what holds now; *state* and *inbox_waiting* tell of the centre's processes, where they are known."""
    now = now or db.now()
    return judge(
        Facts(
            now=now,
            hosts=hosts.hosts(db),
            tags=_followed_tags(db),
            rollbacks_failed=_standing_failures(db, now),
            last_tick=pulse.last(state) if state else None,
            inbox_waiting=inbox_waiting,
            probes=latest_probes(db),
            limits=limits.limits(db),
            mirror_days=mirror_report(db, now - timedelta(days=1)).days,
        )
    )


def _condition(kind: Kind, found: Found) -> Condition:
    return Condition(
        code=kind.code,
        title=kind.title,
        severity=kind.severity,
        subject=found.subject,
        text=found.text,
        remedy=kind.remedy,
        since=found.since,
    )


def _followed_tags(db: Database) -> list[TagRow]:
    known = tags.tags(db)
    return [known[image] for image in tags.followed(db) if image in known]


def _standing_failures(db: Database, now: datetime) -> list[OutcomeRow]:
    """Return the failed ways back after which nothing happened to the container."""
    wanted = OutcomeFilter(outcome=Result.ROLLBACK_FAILED, since=now - ROLLBACKS_SINCE)
    failed = queries.outcomes(db, wanted, PageRequest(limit=_MOST)).items
    return [row for row in failed if _newest(db, row) == row.id]


def _newest(db: Database, row: OutcomeRow) -> object:
    page = queries.outcomes(db, OutcomeFilter(host=row.host, container=row.container), PageRequest(limit=1))
    return page.items[0].id if page.items else None
