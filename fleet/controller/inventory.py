"""The hosts of the fleet: added, renamed, labelled and removed, in SQL first and then on the broker.

Where the broker is away, SQL is right all the same, and the reconciler brings the broker after it.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fleet.controller import keys
from fleet.errors import BadInput, BrokerUnreachable
from fleet.history.inventory import hosts
from fleet.history.inventory.hosts import HostRow
from fleet.history.sql.database import Database
from fleet.road.acl import AclKeeper, HostLogin
from fleet.road.broker import BrokerAddress
from fleet.road.keys import PublicKey
from fleet.settings.centre import CentreSettings

log = logging.getLogger(__name__)

_HASH_DIGITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinFacts:
    """What a new host must be told, besides its own key and password."""

    broker: BrokerAddress
    """As hosts reach it, without a login; with the CA where it speaks TLS."""
    plaintext: bool
    centre_keys: tuple[PublicKey, ...]


def join_facts(settings: CentreSettings) -> JoinFacts:
    """Return what join files say; raise Refused before the planner's first start, BadInput without a broker."""
    return JoinFacts(
        broker=settings.public_broker(),
        plaintext=settings.broker.plaintext,
        centre_keys=keys.public_keys(settings.state_dir),
    )


def add_host(
    db: Database,
    broker: BrokerAddress,
    *,
    name: str,
    labels: Mapping[str, str],
    public_key: str,
    password_sha256: str,
    by: str,
    door: str,
) -> HostRow:
    """Add a host and let it in at the broker; raise Refused where its name or key is taken, BadInput for a bad key."""
    _check_hash(password_sha256)
    key = PublicKey.parse(public_key)
    row = hosts.add_host(
        db,
        name=name,
        labels=labels,
        public_key=str(key),
        kid=key.kid,
        password_sha256=password_sha256,
        by=by,
        door=door,
    )
    login = HostLogin(host_id=row.id.hex, password_sha256=password_sha256)
    _at_the_broker(broker, lambda keeper: keeper.apply([login]))
    return row


def rejoin_host(
    db: Database,
    broker: BrokerAddress,
    name_or_id: str,
    *,
    public_key: str,
    password_sha256: str,
    by: str,
    door: str,
) -> HostRow:
    """Give a known host a new key and password; whoever has the old ones is cut off at once.

    Raise NotFound, Refused where the key is taken, BadInput for a bad key.
    """
    _check_hash(password_sha256)
    key = PublicKey.parse(public_key)
    row = hosts.rejoin_host(
        db, name_or_id, public_key=str(key), kid=key.kid, password_sha256=password_sha256, by=by, door=door
    )
    login = HostLogin(host_id=row.id.hex, password_sha256=password_sha256)
    _at_the_broker(broker, lambda keeper: keeper.apply([login], cut=True))
    return row


def remove_host(db: Database, broker: BrokerAddress, name_or_id: str, *, by: str, door: str) -> HostRow:
    """Remove a host and cut its agent off; its containers run on and its history stays. Raise NotFound."""
    row = hosts.remove_host(db, name_or_id, by=by, door=door)
    _at_the_broker(broker, lambda keeper: keeper.drop([row.id.hex]))
    return row


def _check_hash(password_sha256: str) -> None:
    if len(password_sha256) != _HASH_DIGITS or not set(password_sha256) <= set("0123456789abcdef"):
        raise BadInput("cannot keep a host without the SHA-256 of its broker password, in 64 hex digits")


def _at_the_broker(broker: BrokerAddress, act: Callable[[AclKeeper], None]) -> None:
    keeper = AclKeeper(broker)
    try:
        act(keeper)
    except BrokerUnreachable as error:
        log.warning("broker users wait for the reconciler", extra={"reason": str(error)})
    finally:
        keeper.close()
