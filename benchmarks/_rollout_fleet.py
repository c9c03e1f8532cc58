"""A fleet of any size, written past the product, and what its hosts say when they always say yes."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

from sqlalchemy import Table, insert, text

from fleet.clock import SystemClock
from fleet.history.inbox.taking import Good
from fleet.history.registries import tags
from fleet.history.sql.database import Database
from fleet.history.tables.inventory import container_digests, containers, hosts
from fleet.ids import new_id
from fleet.images.digest import Digest
from fleet.road.envelope import CENTRE, open_up, seal
from fleet.road.keys import SigningKey
from fleet.road.messages import Claim, Down, Go, Offer, Order, Outcome, Ready, Up
from fleet.updates.outcome import PullOutcome, Result, Tier, UpdateOutcome

REFERENCE = "nginx:1.27"
IMAGE = f"docker.io/library/{REFERENCE}"
SITES = 50
_CHUNK = 5000
_OLD, _NEW = (str(Digest.of(word.encode())) for word in ("old", "new"))
_SAMPLE = 300
"""So many hosts' messages are signed and proved to learn what that takes."""


def fill(db: Database, size: int) -> None:
    """Write *size* hosts with a container each that is one version behind its tag."""
    now = db.now()
    ids = [new_id() for _ in range(size)]
    tags.record_resolved(db, IMAGE, _NEW, "https://registry-1.docker.io")
    _write(db, hosts, (_host(id, number, now) for number, id in enumerate(ids)))
    _write(db, containers, (_container(id, now) for id in ids))
    _write(db, container_digests, ({"host_id": id, "container_id": _id(id), "digest": _OLD} for id in ids))
    with db.writing() as connection:
        connection.execute(text("ANALYZE"))


def heard(host_id: str, message: object, now: datetime) -> Iterator[Up]:
    """Yield what a host says to *message* that never has any trouble; as its agent does, it tells of its life."""
    life = _life(UUID(host_id))
    match message:
        case Offer(command=command):
            yield Claim(v=2, life=life, command=command)
        case Order() as order:
            _ORDERS[order.command] = order
            pulls = tuple(_pull(key, id) for key, id in order.pull_ids.items())
            yield Ready(v=2, life=life, command=order.command, pulls=pulls)
        case Go(command=command):
            order = _ORDERS.pop(command)
            for target in order.targets:
                yield Outcome(command=command, outcome=_outcome(target, order), finished_at=now)


def good(host_id: str, message: Up, now: datetime) -> Good:
    """Return a message as it is once it was proved."""
    return Good(id=uuid4(), host_id=host_id, message=message, received=now)


_ORDERS: dict[UUID, Order] = {}
"""What the hosts have in their journals."""


def signed(messages: Sequence[Down | Up]) -> float:
    """Return the seconds of processor time that the centre pays for the signature of one of *messages*: it seals what goes
    down, and proves and reads what comes up. What the host pays it pays itself.
    """
    centre, host, id = SigningKey.generate(), SigningKey.generate(), uuid4()
    sample, spent = messages[:_SAMPLE], 0.0
    for each in sample:
        if isinstance(each, Claim | Ready | Outcome):
            sealed = seal(each, key=host, issuer=id.hex, audience=CENTRE, clock=SystemClock())
            began = time.process_time()
            open_up(sealed, keys=lambda _kid: (id.hex, host.public))
        else:
            began = time.process_time()
            seal(each, key=centre, issuer=CENTRE, audience=id.hex, clock=SystemClock())
        spent += time.process_time() - began
    return spent / max(len(sample), 1)


def _write(db: Database, table: Table, rows: Iterator[Mapping[str, Any]]) -> None:
    with db.writing() as connection:
        chunk: list[Mapping[str, Any]] = []
        for row in rows:
            chunk.append(row)
            if len(chunk) == _CHUNK:
                connection.execute(insert(table), chunk)
                chunk = []
        if chunk:
            connection.execute(insert(table), chunk)


def _host(id: UUID, number: int, now: datetime) -> dict[str, Any]:
    return {
        "id": id,
        "name": f"host-{number}",
        "labels": {"site": f"s{number % SITES}"},
        "broker_password_sha256": "",
        "agent_version": "0.1.0",
        "reads": [1],
        "engine_id": id.hex,
        "engine_name": f"host-{number}",
        "engine_version": "26.1",
        "api_version": "1.45",
        "os": "linux",
        "architecture": "amd64",
        "containerd_store": False,
        "problems": [],
        "mirrors": [],
        "snapshot_hash": "x",
        "outcomes_waiting": 0,
        "created_at": now,
        "joined_at": now,
        "last_seen_at": now,
        # As its first heartbeat told.
        "lives": [_life(id).hex],
        "life_since": now,
    }


def _container(host_id: UUID, now: datetime) -> dict[str, Any]:
    return {
        "host_id": host_id,
        "id": _id(host_id),
        "name": "web",
        "reference": REFERENCE,
        "image": IMAGE,
        "image_id": _OLD,
        "digests": [_OLD],
        "platform": "linux/amd64",
        "state": "running",
        "health": "",
        "labels": {},
        "local_build": False,
        "snapshot": "x",
        "first_seen_at": now,
        "seen_at": now,
    }


def _life(host_id: UUID) -> UUID:
    return uuid5(host_id, "life")


def _id(host_id: UUID) -> str:
    return hashlib.sha256(host_id.bytes).hexdigest()


def _pull(key: str, pull_id: UUID) -> PullOutcome:
    return PullOutcome(
        pull_id=pull_id,
        reference=key,
        digest=_NEW,
        ok=True,
        tier=Tier.LOOPBACK,
        image_id=_NEW,
        bytes=1000,
        duration_ms=20,
    )


def _outcome(target: Any, order: Order) -> UpdateOutcome:
    return UpdateOutcome(
        update_id=target.update_id,
        container=target.container,
        result=Result.UPDATED,
        old_container_id=target.container_id,
        new_container_id="d" * 64,
        old_digest=target.old_digest,
        new_digest=target.digest,
        old_image_id=target.image_id,
        new_image_id=_NEW,
        pull_id=next(iter(order.pull_ids.values())),
        downtime_ms=700,
    )
