"""What a condition may be about: the database leaves out the hosts and tags of which nothing is to be told, which are most of them.

What is left is judged by ``fleet.controller.conditions``; here may stand more than that tells of, and never less.
"""

from datetime import datetime, timedelta

from sqlalchemy import func, literal, or_, select

from fleet.history.inventory.containers import THERE
from fleet.history.inventory.hosts import HostRow
from fleet.history.registries.tags import FOLLOWING, MOST_FOLLOWED, TagRow, followed, tags_of
from fleet.history.sql.database import Database
from fleet.history.tables.inventory import containers, hosts
from fleet.history.tables.inventory import tags as tag_table


def notable_hosts(db: Database, now: datetime, *, unheard: timedelta, skew: timedelta) -> list[HostRow]:
    """Return the hosts that were not heard of for *unheard* or ever, told of a problem, or with a clock that is off by more than
    *skew*; for which two agents or strangers spoke or that were shut out; and those that share an engine. By name.
    """
    h = hosts.c
    present = h.removed_at.is_(None)
    engines = select(h.engine_id).where(present, h.engine_id != "").group_by(h.engine_id).having(func.count() > 1)
    silent = or_(h.last_seen_at.is_(None), h.last_seen_at <= now - unheard)
    skew_ms = skew // timedelta(milliseconds=1)
    off = or_(h.skew_ms > skew_ms, h.skew_ms < -skew_ms)
    told = or_(h.rivals_at.is_not(None), h.muted_at.is_not(None), h.strangers_at.is_not(None))
    sick = h.problems != literal((), h.problems.type)
    query = select(hosts).where(present, or_(silent, off, told, sick, h.engine_id.in_(engines))).order_by(h.name)
    with db.reading() as connection:
        return [HostRow(**row) for row in connection.execute(query).mappings()]


def troubled_tags(db: Database) -> list[TagRow]:
    """Return those of the tags that containers follow whose last check failed or was not believed, by image."""
    t = tag_table.c
    query = select(t.image).where(or_(t.reason != "", t.refused_digest.is_not(None))).order_by(t.image)
    with db.reading() as connection:
        images = list(connection.execute(query).scalars())
        c = containers.c
        others = containers.alias("others")
        few = select(func.count()).where(others.c.host_id == c.host_id).scalar_subquery() <= MOST_FOLLOWED
        running = (*FOLLOWING, hosts.c.removed_at.is_(None), few)
        there = {
            image
            for image in images
            if connection.execute(select(c.id).select_from(THERE).where(c.image == image, *running).limit(1)).scalar()
        }
    if len(there) < len(images):
        there |= set(followed(db)) & set(images)
    known = tags_of(db, there)
    return [known[image] for image in images if image in there]
