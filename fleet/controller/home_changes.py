"""Of which hosts Home Assistant is to be told anew: those that differ, and the others in turn, since time decides too."""

from collections.abc import Iterable, Mapping
from itertools import islice

from fleet.controller.plans import holding
from fleet.history.registries import tags
from fleet.history.registries.tags import TagRow
from fleet.history.rollouts.home_marks import HostMark, UnderWay, followers, host_marks
from fleet.history.rules import policies
from fleet.history.sql.database import Database

ROUND_S = 3600.0
"""In which time each host is looked at once, whether it differs or not: a digest becomes old enough, a stop ends."""


class Changes:
    """What differs, look after look."""

    def __init__(self, db: Database, every_s: float) -> None:
        """Begin with nothing known: all is due."""
        self._db = db
        self._looks_a_round = max(1, round(ROUND_S / every_s))
        self._tags: Mapping[str, TagRow] | None = None
        self._rules: object = None
        self._orders = UnderWay()
        self._due: dict[str, None] = {}
        self._round: list[str] = []
        self.marks: Mapping[str, HostMark] = {}
        """The hosts that there are."""
        self.under_way: Mapping[str, frozenset[str]] = {}
        """The containers that are being updated, by host."""

    def look(self) -> None:
        """Look for what differs; raise DatabaseUnreachable."""
        marks, under_way = host_marks(self._db), self._orders.look(self._db)
        self.add(id for id in marks.keys() | self.marks.keys() if marks.get(id) != self.marks.get(id))
        names = under_way.keys() | self.under_way.keys()
        self.add(id for id in names if under_way.get(id) != self.under_way.get(id))
        self.marks, self.under_way = marks, under_way
        self._look_at_tags()
        self._look_at_rules()
        self._take_turns()

    def add(self, ids: Iterable[str]) -> None:
        """Let these hosts be due."""
        self._due |= dict.fromkeys(ids)

    def take(self, most: int) -> list[str]:
        """Return some hosts that are due, which are it no more."""
        taken = list(islice(self._due, most))
        for id in taken:
            del self._due[id]
        return taken

    @property
    def any_due(self) -> bool:
        """Whether any host is due."""
        return bool(self._due)

    def _look_at_tags(self) -> None:
        known = tags.tags(self._db)
        if (before := self._tags) is not None:
            differ = {image for image, tag in known.items() if _told(tag) != _told(before.get(image))}
            self.add(followers(self._db, differ))
        self._tags = known

    def _look_at_rules(self) -> None:
        """Where people hold something, or change a policy, all may stand differently."""
        rules = (holding(self._db, self._db.now()), policies.policies(self._db))
        if self._rules is not None and rules != self._rules:
            self.add(list(self.marks))
        self._rules = rules

    def _take_turns(self) -> None:
        if not self._round:
            self._round = list(self.marks)
        some = -(-len(self.marks) // self._looks_a_round)
        self.add(self._round[:some])
        del self._round[:some]


def _told(tag: TagRow | None) -> object:
    """Return what of a tag Home Assistant is told: not when it was checked."""
    return tag and (tag.digest, tag.reason, tag.refused_digest)
