"""Heartbeats, which make good what was lost on the way, and the answers of hosts that were asked for a digest."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from fleet.errors import BadInput
from fleet.history.inbox.batch import MOST_CLAIMS, Batch
from fleet.history.inbox.commands import take_claim, take_ready
from fleet.history.registries.tags import note_answer
from fleet.history.sql.plain import name, prose
from fleet.history.tables.inventory import resolves
from fleet.images.digest import Digest
from fleet.road.messages import Heartbeat, Resolved, SendSnapshot

MOST_PROBLEMS = 50
"""How many problems of one host are kept."""


def take_heartbeat(batch: Batch, host_id: UUID, heartbeat: Heartbeat, received: datetime) -> None:
    """Write down the host's facts, take what it claims and what is ready, and ask for its snapshot where it differs."""
    facts, sender = heartbeat.facts, batch.senders[host_id]
    sender.tell_engine(name(facts.engine_id), batch.now)
    batch.hosts[host_id] = {
        "agent_version": name(facts.agent_version),
        "reads": facts.reads[:MOST_PROBLEMS],
        "engine_id": sender.engine_id,
        "engine_since": sender.engine_since,
        "engine_name": name(facts.engine_name),
        "engine_version": name(facts.engine_version),
        "api_version": name(facts.api_version),
        "os": name(facts.os),
        "architecture": name(facts.architecture),
        "containerd_store": facts.containerd_store,
        "problems": [prose(problem) for problem in facts.problems[:MOST_PROBLEMS]],
        "outcomes_waiting": max(0, min(heartbeat.outcomes_waiting, 2**31 - 1)),
        "skew_ms": _skew_ms(heartbeat.host_time, received),
    }
    if heartbeat.snapshot_hash and heartbeat.snapshot_hash != sender.snapshot_hash:
        batch.post(host_id, SendSnapshot())
    if not sender.lives.hear(heartbeat.life, batch.now):
        return
    for command in heartbeat.claims[:MOST_CLAIMS]:
        take_claim(batch, host_id, command, heartbeat.life)
    for command in heartbeat.ready[:MOST_CLAIMS]:
        take_ready(batch, host_id, command, life=heartbeat.life)


def _skew_ms(host_time: datetime, received: datetime) -> int:
    # Subtracted as they are, and not turned into UTC first: a clock at the end of time would overflow.
    apart = host_time.replace(tzinfo=None) - received.astimezone(UTC).replace(tzinfo=None)
    return (apart - (host_time.utcoffset() or timedelta())) // timedelta(milliseconds=1)


def take_resolved(batch: Batch, host_id: UUID, answer: Resolved) -> None:
    """Write down what a tag resolves to, as the host that was asked says; an answer that nobody waits for is dropped."""
    query = select(resolves.c.image).where(
        resolves.c.id == answer.request, resolves.c.host_id == host_id, resolves.c.answered_at.is_(None)
    )
    image = batch.connection.execute(query.with_for_update()).scalar()
    if image is None:
        return
    digest, reason = _told(answer)
    outcome = note_answer(batch.connection, batch.now, answer.request, digest, name(answer.endpoint), reason)
    if outcome is not None:
        batch.checks.append((image, outcome))


def _told(answer: Resolved) -> tuple[str, str]:
    """Return the digest of an answer, or why there is none."""
    if not answer.digest:
        return "", prose(answer.reason) or "cannot resolve it, and the host did not say why"
    try:
        return str(Digest.parse(answer.digest)), ""
    except BadInput as error:
        return "", prose(str(error))
