"""The windows that policies give hosts: which of them hold for a host, and the condition that a host is shut out by any."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    RowMapping,
    Text,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    select,
)

from fleet.history.rules.policies import PolicyRow, is_for, policy_rows
from fleet.history.rules.stops import takes
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import rollout_hosts
from fleet.history.tables.words import PolicyKind
from fleet.rollouts.dispatching import ahead_of, times_of
from fleet.rollouts.policy import windows_of
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import LIVE, WAITING
from fleet.rollouts.windows import HOST_ZONE, ZONE_LABEL, Freeze, Window

_NONE = -1
"""Stands for the place of the document of a host that no document gives windows."""
_host_zone: ColumnElement[str] = func.coalesce(hosts.c.labels[ZONE_LABEL].as_string(), "UTC")

Group = tuple[int, str]
"""The place of a document, and a zone."""


class OwnWindows:
    """The windows that policies give hosts; of the documents for one host, the last that names any counts, as ever."""

    def __init__(self, connection: Connection) -> None:
        """Read the documents: there are few, and most name no window."""
        named = [row for row in policy_rows(connection) if "windows" in row.document]
        self._documents = [(row, windows_of(row.document)) for row in named]

    @property
    def written(self) -> tuple[PolicyRow, ...]:
        """The documents."""
        return tuple(row for row, _ in self._documents)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return any(windows for _, windows in self._documents)

    def of(self, host_id: UUID, labels: Mapping[str, str]) -> tuple[Window, ...]:
        """Return those of one host."""
        found = (windows for row, windows in reversed(self._documents) if is_for(row, host_id, labels))
        return next(found, ())

    def at(self, place: int) -> tuple[Window, ...]:
        """Return those of the document at *place*."""
        return () if place == _NONE else self._documents[place][1]

    def place(self) -> ColumnElement[int]:
        """Return the place of the document that counts for a host, as an expression over ``hosts``."""
        if not self._documents:
            return literal(_NONE, Integer)
        last_first = reversed(list(enumerate(self._documents)))
        return case(*((_for(row), place) for place, (row, _) in last_first), else_=_NONE)


ASKED_ANEW = timedelta(minutes=5)
"""How long what tells the hosts of a large rollout apart is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lately:
    """What told the hosts of a rollout apart, when it was asked last."""

    at: datetime
    documents: tuple[PolicyRow, ...]
    groups: list[Group]


_LATELY: dict[UUID, _Lately] = {}
_REMEMBERED = 1000


class Admission:
    """When hosts of one rollout may go, by its windows and freezes, and by the windows of their policies."""

    def __init__(
        self, connection: Connection, row: RowMapping, spec: RolloutSpec, now: datetime, *, many: bool = False
    ) -> None:
        """Look at the policies; of the hosts that are not done, at what tells them apart in this, where anything does.

        Of *many* that is asked once in some minutes: it is of the fleet's size. A host whose labels have changed since is not
        counted out by :meth:`shut`, nor into :meth:`times`; its own windows are looked at as they are.
        """
        self._spec = spec
        # What is broken now is not left broken until the night.
        self.own = None if row["way_back_of"] is not None else OwnWindows(connection)
        self._groups: list[Group] = []
        if self.own or any(window.zone == HOST_ZONE for window in spec.windows):
            self._groups = self._lately(connection, row["id"], now) if many else self._told_apart(connection, row["id"])

    def _lately(self, connection: Connection, rollout_id: UUID, now: datetime) -> list[Group]:
        documents = self.own.written if self.own else ()
        known = _LATELY.get(rollout_id)
        if known is None or known.documents != documents or not timedelta() <= now - known.at < ASKED_ANEW:
            if len(_LATELY) > _REMEMBERED:
                _LATELY.clear()
            groups = self._told_apart(connection, rollout_id)
            known = _LATELY[rollout_id] = _Lately(at=now, documents=documents, groups=groups)
        return known.groups

    def _told_apart(self, connection: Connection, rollout_id: UUID) -> list[Group]:
        place = self.own.place() if self.own else literal(_NONE, Integer)
        query = select(place, _host_zone).join(rollout_hosts, hosts.c.id == rollout_hosts.c.host_id).distinct()
        mine = (rollout_hosts.c.rollout_id == rollout_id, rollout_hosts.c.state.in_((*WAITING, *LIVE)))
        return [(place, zone) for place, zone in connection.execute(query.where(*mine))]

    def windows_of(self, host_id: UUID, labels: Mapping[str, str]) -> tuple[Window, ...]:
        """Return the windows of a host's own policy, as far as they bind this rollout."""
        return self.own.of(host_id, labels) if self.own else ()

    def times(self) -> frozenset[tuple[str, tuple[Window, ...]]]:
        """Return the zones of the hosts that are not done, with their own windows; empty where all are alike in this."""
        return frozenset((zone, self.own.at(place) if self.own else ()) for place, zone in self._groups)

    def shut(self, now: datetime) -> ColumnElement[bool]:
        """Return the condition, over ``hosts``, that a host is surely not to be dispatched at *now*.

        Those who may go would otherwise never be seen behind many who may not.
        """
        until, times = ahead_of(self._spec, now), times_of(self._spec)
        frozen = [takes(freeze.selector) for freeze in times.freezes if _lasts(freeze, now, until)]
        shut = [
            f"{place} {zone}"
            for place, zone in self._groups
            if times.for_host("", {}, self.own.at(place) if self.own else ()).next_admissible(now, until, zone) is None
        ]
        # As one text, so that the documents are gone through once for each host.
        group = cast(self.own.place() if self.own else literal(_NONE, Integer), Text) + " " + _host_zone
        return or_(false(), *frozen, *([group.in_(shut)] if shut else []))


def _lasts(freeze: Freeze, now: datetime, until: datetime) -> bool:
    """Tell whether a freeze of some hosts lasts that long, and can be asked for in SQL, which knows no ``[...]``."""
    selector = freeze.selector
    globs = (*selector.hosts, *selector.labels.values())
    return freeze.begins_at <= now and freeze.ends_at >= until and not any("[" in glob for glob in globs)


def _for(row: PolicyRow) -> ColumnElement[bool]:
    """Return the same as :func:`is_for`, as a condition over ``hosts``."""
    match row.kind:
        case PolicyKind.FLEET:
            return not_(false())
        case PolicyKind.LABEL:
            name, _, value = row.subject.partition("=")
            return func.coalesce(hosts.c.labels[name].as_string() == value, False)
        case PolicyKind.HOST:
            return hosts.c.id == UUID(row.subject)
