"""Pushes that were heard of: which tags are asked for soon because of them, each once however often it is heard."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, exists, or_, select

from fleet.history.registries import receivers
from fleet.history.registries.receivers import ReceiverLock
from fleet.history.sql.database import Database
from fleet.history.sql.upsert import insert_new
from fleet.history.tables.inventory import containers, hosts, tags
from fleet.history.tables.pushes import pushes as table
from fleet.images.pushed import Pushed

GATHERED = timedelta(seconds=5)
"""How long after the first word of a push its tag is asked for: a registry says of one push more than once, and maybe before
it answers anew."""
APART = timedelta(seconds=30)
"""How long a tag is left alone after a check, however often it is pushed meanwhile."""
AT_ONCE = 100
"""How many tags one round asks for."""
MOST_MATCHED = 200
"""How many tags one body may have asked for: a project of GitLab means all that is below it."""
_ESCAPE = "\\"


def hear(db: Database, lock: ReceiverLock, heard: str, pushed: Sequence[Pushed], *, door: str) -> list[str]:
    """Let those tags be asked for soon that running containers follow and that *pushed* may mean; return them.

    *heard* says in words what was heard. It is written down where a tag was not to be asked for already: a flood leaves one
    act in the audit for each check that it brings about.
    """
    matching = _matching(db, pushed)
    if not matching:
        receivers.note_use(db, lock, heard)
        return []
    with db.writing() as connection:
        now = db.moment(connection)
        known = set(connection.execute(select(table.c.image).where(table.c.image.in_(matching))).scalars())
        fresh = [image for image in matching if image not in known]
        if insert_new(connection, table, [{"image": image, "heard_at": now} for image in fresh], ("image",)):
            receivers.note_push(connection, now, lock, heard, fresh, door=door)
    return matching


def _matching(db: Database, pushed: Sequence[Pushed]) -> list[str]:
    """Return the tags that *pushed* may mean, of those that a running container follows and that were asked for before.

    One that was never asked for is due anyway.
    """
    meant = [condition for each in pushed for condition in _meant(each)]
    if not meant:
        return []
    runs = exists().where(
        containers.c.image == tags.c.image,
        containers.c.state == "running",
        containers.c.local_build.is_(False),
        containers.c.host_id == hosts.c.id,
        hosts.c.removed_at.is_(None),
    )
    query = select(tags.c.image).where(or_(*meant), runs).order_by(tags.c.image)
    with db.reading() as connection:
        found = connection.execute(query).scalars()
        return [image for image in found if any(_means(each, image) for each in pushed)][:MOST_MATCHED]


def _meant(pushed: Pushed) -> list[ColumnElement[bool]]:
    """Return what the tags meet that are meant, and some others where the registry is not known; one of these is enough."""
    name = f"{pushed.registry or '%'}/{_plain(pushed.repository)}"
    keyed = f"{pushed.registry or '%'}/%/{_plain(pushed.repository)}:{_plain(pushed.tag) or '%'}"
    if pushed.registry and pushed.tag and not pushed.keyed:
        return [tags.c.image == f"{pushed.registry}/{pushed.repository}:{pushed.tag}"]
    patterns = [f"{name}:{_plain(pushed.tag) or '%'}", *([f"{name}/%"] if pushed.below else [])]
    patterns += [keyed] if pushed.keyed else []
    return [tags.c.image.like(pattern, escape=_ESCAPE) for pattern in patterns]


def _means(pushed: Pushed, image: str) -> bool:
    """Tell whether *image*, which meets one of the conditions, is meant: a registry has no slash, which LIKE cannot say."""
    name = image.partition("/")[2]
    if pushed.keyed and name.partition("/")[2].startswith(f"{pushed.repository}:"):
        return True
    below = pushed.below and name.startswith(f"{pushed.repository}/")
    return below or name.startswith(f"{pushed.repository}:")


def _plain(text: str) -> str:
    """Return *text* as LIKE takes it literally; a registry holds none of its signs."""
    return text.replace("_", f"{_ESCAPE}_").replace("%", f"{_ESCAPE}%")


def any_due(db: Database) -> bool:
    """Tell whether a tag is to be asked for now because of a push: asked at every tick, mostly of an empty table."""
    with db.reading() as connection:
        if not connection.execute(select(exists().where(table.c.image.is_not(None)))).scalar():
            return False
        return bool(_due(connection, db.moment(connection)))


def take_due(db: Database) -> list[str]:
    """Return the tags that are to be asked for now, and forget that they were pushed: what is heard from now on counts anew.

    Whoever dies before he has asked leaves them to the next check by the clock.
    """
    with db.writing() as connection:
        found = _due(connection, db.moment(connection))
        connection.execute(delete(table).where(table.c.image.in_(found)))
        return found


def _due(connection: Connection, now: datetime) -> list[str]:
    """Return those that were heard of long enough ago, and that nobody asks for at this moment or did just now."""
    rested = or_(tags.c.checked_at.is_(None), tags.c.checked_at <= now - APART)
    free = or_(tags.c.leased_until.is_(None), tags.c.leased_until <= now)
    query = select(table.c.image).outerjoin(tags, tags.c.image == table.c.image)
    gathered = table.c.heard_at <= now - GATHERED
    return list(connection.execute(query.where(gathered, rested, free).limit(AT_ONCE)).scalars())
