"""Keys and broker passwords that hosts replace by their own: the new pair holds beside the old one until it was heard.

The first message that the new key signed proves that the host has it on its disk, and from then on it alone holds.
"""

from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, update

from fleet.errors import BadInput
from fleet.history.inbox.batch import Batch, Unusable
from fleet.history.sql.upsert import insert_or_update
from fleet.history.tables.inventory import host_keys, hosts, rekeys
from fleet.road.keys import PublicKey
from fleet.road.messages import Rekey


def take_rekey(batch: Batch, host_id: UUID, message: Rekey) -> None:
    """Let a new key and password hold beside the present ones; the last one told is the one that may follow.

    Raise Unusable for a key that is none, was revoked, or is another host's.
    """
    try:
        key = PublicKey.parse(message.public_key)
    except BadInput as error:
        raise Unusable(str(error)) from error
    query = select(host_keys.c.host_id, host_keys.c.revoked_at).where(host_keys.c.kid == key.kid)
    known = batch.connection.execute(query).one_or_none()
    if known is not None and (known.host_id != host_id or known.revoked_at is not None):
        raise Unusable("cannot take this key: it belongs to another host, or was revoked")
    if known is not None and batch.senders[host_id].new_key != key.kid:
        return  # it holds already: this message came late, or twice
    if known is None:
        _forget_unheard(batch.connection, host_id)
        row = {"kid": key.kid, "host_id": host_id, "public_key": str(key), "created_at": batch.now}
        batch.connection.execute(insert(host_keys).values(row))
    asked = {
        "host_id": host_id,
        "kid": key.kid,
        "password_sha256": message.password_sha256,
        "asked_at": batch.now,
        "heard_at": None,
        "told_at": None,
    }
    insert_or_update(batch.connection, rekeys, [asked], ("host_id",))
    batch.senders[host_id].new_key = key.kid


def hear_key(batch: Batch, host_id: UUID, kid: str) -> None:
    """Now that *kid*, the new key of the host, was heard: revoke every other one, and let the new password alone hold."""
    mine = rekeys.c.host_id == host_id
    password = batch.connection.execute(select(rekeys.c.password_sha256).where(mine)).scalar_one()
    batch.connection.execute(update(hosts).where(hosts.c.id == host_id).values(broker_password_sha256=password))
    others = (host_keys.c.host_id == host_id, host_keys.c.kid != kid, host_keys.c.revoked_at.is_(None))
    batch.connection.execute(update(host_keys).where(*others).values(revoked_at=batch.now))
    batch.connection.execute(update(rekeys).where(mine).values(heard_at=batch.now, told_at=None))
    batch.senders[host_id].new_key = None


def _forget_unheard(connection: Connection, host_id: UUID) -> None:
    """Forget a new key that was told and never used: its host lost it and made another.

    Nothing was ever signed with it; and a host that makes ever more keys would fill the database if they were kept.
    """
    unheard = select(rekeys.c.kid).where(rekeys.c.host_id == host_id, rekeys.c.heard_at.is_(None))
    connection.execute(delete(host_keys).where(host_keys.c.host_id == host_id, host_keys.c.kid.in_(unheard)))
