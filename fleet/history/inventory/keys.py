"""The keys of hosts: which hold, and whose each is."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, insert, update

from fleet.history.tables.inventory import host_keys, hosts, rekeys


def replace_keys(
    connection: Connection, host_id: UUID, *, kid: str, public_key: str, password_sha256: str, now: datetime
) -> None:
    """Revoke every key of the host, and let these alone hold from now on; raise IntegrityError where the key is taken."""
    mine = (host_keys.c.host_id == host_id, host_keys.c.revoked_at.is_(None))
    connection.execute(update(host_keys).where(*mine).values(revoked_at=now))
    connection.execute(delete(rekeys).where(rekeys.c.host_id == host_id))
    row = {"kid": kid, "host_id": host_id, "public_key": public_key, "created_at": now}
    connection.execute(insert(host_keys).values(row))
    # Whoever spoke as it before has the old key, so nothing of that counts any more.
    anew = dict.fromkeys(("lives", "life_since", "rivals_at", "muted_at", "strangers_since", "strangers_at"))
    values = {"broker_password_sha256": password_sha256, **anew}
    connection.execute(update(hosts).where(hosts.c.id == host_id).values(values))
