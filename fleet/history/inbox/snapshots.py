"""Snapshots: what runs on a host, in one part or several; the containers of earlier ones go when the last part came."""

import re
from itertools import islice
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Connection, delete, func, select, update

from fleet.errors import BadInput
from fleet.history.inbox.batch import Batch, Unusable
from fleet.history.inventory import container_moves
from fleet.history.sql.plain import digest, name, prose
from fleet.history.sql.upsert import insert_new, insert_or_update
from fleet.history.tables.inventory import container_digests, containers, hosts, snapshot_parts
from fleet.images.reference import Reference
from fleet.mirrors.source import MirrorRule
from fleet.road.messages import Snapshot
from fleet.updates.foresight import MOST_OWN
from fleet.updates.snapshot import MOST_KEPT, ContainerState

_IMAGE_ID = re.compile(r"(sha256:)?[0-9a-f]{64}")

MOST_PARTS = 1000
MOST_AT_ONCE = 3000
"""How many containers one part tells of at most: of what is known of each, no more fit into one message."""
MOST_KNOWN = 10_000
"""How many containers of one host are known at once, while a snapshot comes those of the one before too: more than any engine runs.
A host that began snapshots and ended none would otherwise fill the database."""
MOST_MIRRORS = 200
MOST_DIGESTS = 20
"""How many digests one container has at most: one for each name that its image was pulled by. Each is a row."""
MOST_LABELS = 100
"""How many labels of one container are kept."""
MOST_LABEL_SIGNS = 16_000
"""How long they may be together: whoever looks at all containers of a host holds all of their labels."""


def take_snapshot(batch: Batch, host_id: UUID, snapshot: Snapshot) -> None:
    """Write down what one part tells; raises Unusable for a part that cannot be one."""
    if not 0 <= snapshot.part < snapshot.parts <= MOST_PARTS:
        raise Unusable("cannot take it: there is no such part of a snapshot")
    _check_there(batch.connection, host_id)
    _check_size(batch.connection, host_id, len(snapshot.containers))
    hash = name(snapshot.hash)
    _write(batch, host_id, hash, snapshot)
    if _parts(batch, host_id, hash, snapshot.part) == snapshot.parts:
        _finish(batch, host_id, hash)
    container_moves.tell(batch.connection, len(snapshot.containers))


def _check_there(connection: Connection, host_id: UUID) -> None:
    """Let nobody remove the host until this transaction has ended; raises Unusable where somebody just did: its containers are
    forgotten by then, and would be counted for ever.
    """
    there = select(hosts.c.id).where(hosts.c.id == host_id, hosts.c.removed_at.is_(None))
    if connection.execute(there.with_for_update(key_share=True)).scalar() is None:
        raise Unusable("cannot take it: its host was removed")


def _check_size(connection: Connection, host_id: UUID, more: int) -> None:
    if more > MOST_AT_ONCE:
        raise Unusable(f"cannot take it: it tells of {more} containers at once; the most is {MOST_AT_ONCE}")
    known = connection.execute(select(func.count()).where(containers.c.host_id == host_id)).scalar_one()
    if known + more > MOST_KNOWN:
        raise Unusable(f"cannot take it: {known} containers of this host are known, and the most is {MOST_KNOWN}")


def _write(batch: Batch, host_id: UUID, hash: str, snapshot: Snapshot) -> None:
    connection = batch.connection
    # By what is kept of their ids, which two may have alike.
    rows = list({row["id"]: row for row in (_row(batch, host_id, hash, each) for each in snapshot.containers)}.values())
    insert_or_update(connection, containers, rows, ("host_id", "id"), keep=("first_seen_at",))
    mine = container_digests.c.host_id == host_id
    connection.execute(
        delete(container_digests).where(mine, container_digests.c.container_id.in_([row["id"] for row in rows]))
    )
    digests = [
        {"host_id": host_id, "container_id": row["id"], "digest": told} for row in rows for told in row["digests"]
    ]
    insert_new(connection, container_digests, digests, ("host_id", "container_id", "digest"))
    if snapshot.part == 0:
        rules = [_plain(rule) for rule in _RULES.dump_python(snapshot.mirrors[:MOST_MIRRORS], mode="json")]
        connection.execute(update(hosts).where(hosts.c.id == host_id).values(mirrors=rules))


def _parts(batch: Batch, host_id: UUID, hash: str, part: int) -> int:
    """Note that a part has come; return how many have. Parts of another snapshot are older, and wait no longer."""
    mine = snapshot_parts.c.host_id == host_id
    batch.connection.execute(delete(snapshot_parts).where(mine, snapshot_parts.c.hash != hash))
    row = {"host_id": host_id, "hash": hash, "part": part, "received_at": batch.now}
    insert_new(batch.connection, snapshot_parts, [row], ("host_id", "hash", "part"))
    query = select(func.count()).select_from(snapshot_parts).where(mine, snapshot_parts.c.hash == hash)
    return batch.connection.execute(query).scalar_one()


def _finish(batch: Batch, host_id: UUID, hash: str) -> None:
    connection = batch.connection
    gone = (containers.c.host_id == host_id, containers.c.snapshot != hash)
    # Chosen by the database: a host may have told of more than one statement can name.
    theirs = container_digests.c.container_id.in_(select(containers.c.id).where(*gone))
    connection.execute(delete(container_digests).where(container_digests.c.host_id == host_id, theirs))
    connection.execute(delete(containers).where(*gone))
    connection.execute(delete(snapshot_parts).where(snapshot_parts.c.host_id == host_id))
    connection.execute(update(hosts).where(hosts.c.id == host_id).values(snapshot_hash=hash))
    batch.senders[host_id].snapshot_hash = hash
    batch.shown.add(host_id)


def _row(batch: Batch, host_id: UUID, hash: str, state: ContainerState) -> dict[str, Any]:
    return {
        "host_id": host_id,
        "id": name(state.id),
        "name": name(state.name),
        "reference": name(state.reference),
        "image": followed_image(state.reference, state.image_id),
        "image_id": name(state.image_id),
        "digests": _digests(state),
        "platform": name(state.platform),
        "state": name(state.state),
        "health": name(state.health),
        "labels": _labels(state),
        "local_build": state.local_build,
        "own": None if state.own is None else [name(path) for path in state.own[:MOST_OWN]],
        "keeps": None if state.keeps is None else [name(path) for path in state.keeps[:MOST_KEPT]],
        "snapshot": hash,
        "first_seen_at": batch.now,
        "seen_at": batch.now,
    }


def _plain(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a mirror rule with every text in it as it may be kept."""
    return {
        key: _plain(value) if isinstance(value, dict) else name(value) if isinstance(value, str) else value
        for key, value in rule.items()
    }


def _labels(state: ContainerState) -> dict[str, str]:
    found: dict[str, str] = {}
    left = MOST_LABEL_SIGNS
    for written, value in islice(state.labels.items(), MOST_LABELS):
        key, text = name(written), prose(value)
        left -= len(key) + len(text)
        if left < 0:
            break
        found[key] = text
    return found


def _digests(state: ContainerState) -> list[str]:
    return list(islice((told for each in dict.fromkeys(state.digests) if (told := digest(each))), MOST_DIGESTS))


def followed_image(written: str, image_id: str = "") -> str:
    """Return the canonical registry/repository:tag that a container follows; empty where it is pinned or has no name.

    Docker takes an image's id, whole or its beginning, for a reference, and both look like names.
    """
    if image_id.removeprefix("sha256:").startswith(written.removeprefix("sha256:")) or _IMAGE_ID.fullmatch(written):
        return ""
    try:
        reference = Reference.parse(written)
    except BadInput:
        return ""
    return "" if reference.digest else f"{reference.name}:{reference.tag_or_latest}"


_RULES: TypeAdapter[tuple[MirrorRule, ...]] = TypeAdapter(tuple[MirrorRule, ...])
