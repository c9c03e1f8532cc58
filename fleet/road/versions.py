"""What every message has, and how it is written for a reader of an earlier version.

A field is added only with a version; what is unknown is refused (``extra="forbid"``). What a snapshot tells of a container or
of a mirror grows without one: a host sends it before it knows what its centre reads, and the centre is upgraded first.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache, reduce
from operator import attrgetter, getitem
from typing import Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from fleet.mirrors.source import MirrorRule
from fleet.updates.outcome import PullOutcome

VERSION = 5
"""The highest version of messages that this program writes, to whom reads it; without that it writes version 1."""

OWN_WAYS_SINCE = 4
"""The version that brought logins and proxies of single mirrors, and an order of theirs by speed."""
_OWN_WAYS = ("auth", "proxy")
REDIRECTS_SINCE = 5
"""The version that brought the hosts to which a source sent for bytes."""

READS = tuple(range(1, VERSION + 1))
"""The versions that this program reads."""

MAX_MESSAGE_BYTES = 1024 * 1024
"""The most that one signed message may take; larger snapshots are split by container."""


class Message(BaseModel):
    """What every message has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: ClassVar[Mapping[str, int]] = {}
    """Fields that version 1 had not, and the version that brought each; each is empty where it says nothing.

    ``outcome.interrupted`` is a field of the part ``outcome``.
    """

    rules_at: ClassVar[str] = ""
    """The field with mirror rules, in the same words; empty: there is none."""

    rules_grow: ClassVar[bool] = False
    """Whether these rules are told in full whatever the version: who reads them is upgraded first."""

    pulls_at: ClassVar[str] = ""
    """The field with a pull or several; empty: there is none."""

    v: Literal[1, 2, 3, 4, 5] = 1
    traceparent: str = Field(default="", exclude=True)
    """Written by version 0.1.0, always empty, and read for its sake alone: an update is followed by the id of its command."""

    @model_validator(mode="after")
    def _holds_nothing_later(self) -> Self:
        for name in self._later():
            if attrgetter(name)(self):
                raise ValueError(f"{name} is no field of version {self.v}")
        return self

    @model_serializer(mode="wrap")
    def _as_its_version(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what its version has not: whoever reads that version refuses what it does not know."""
        written: dict[str, Any] = write(self)
        for name in self._later():
            *parts, field = name.split(".")
            reduce(getitem, parts, written).pop(field, None)
        if self.rules_at:
            *parts, field = self.rules_at.split(".")
            holder = reduce(getitem, parts, written)
            holder[field] = _rules_in(VERSION if self.rules_grow else self.v, holder[field])
        if self.pulls_at and self.v < REDIRECTS_SINCE:
            pulls = written[self.pulls_at] or ()
            for pull in (pulls,) if isinstance(pulls, dict) else pulls:
                for attempt in pull["attempts"]:
                    attempt.pop("redirected_to", None)
        return written

    def _later(self) -> frozenset[str]:
        return _later_than(type(self), self.v)

    def of_nobody(self) -> Self:
        """Return the same message in the version that every host reads."""
        return self if self.v == 1 else self.model_copy(update={"v": 1})

    def of_life(self, life: UUID, reads: Collection[int] = ()) -> Self:
        """Return the same message bound to *life*, in the highest version of those that its reader *reads*.

        Who has a life reads version 2. As it is where it is not bound to one.
        """
        if "life" not in type(self).model_fields:
            return self
        return self.model_copy(update={"v": max({2, *reads} & set(READS)), "life": life})


@lru_cache(maxsize=256)
def _later_than(kind: type[Message], version: int) -> frozenset[str]:
    return frozenset(name for name, since in kind.since.items() if since > version)


def has_own_way(rule: MirrorRule) -> bool:
    """Tell whether a mirror is asked with a login or by a proxy of its own."""
    return bool(rule.endpoint.auth or rule.endpoint.proxy)


def was_redirected(pull: PullOutcome) -> bool:
    """Tell whether a source of *pull* sent elsewhere for bytes."""
    return any(attempt.redirected_to for attempt in pull.attempts)


def _rules_in(version: int, rules: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return mirror rules as *version* has them.

    A mirror with a login or a proxy of its own is none for a reader that knows neither: it would be asked as somebody
    else, or by another way than it may be.
    """
    written = []
    for rule in rules:
        own = {key for key in _OWN_WAYS if rule["endpoint"].get(key)}
        if not own or version >= OWN_WAYS_SINCE:
            endpoint = {key: value for key, value in rule["endpoint"].items() if key not in _OWN_WAYS or key in own}
            written.append({**rule, "endpoint": endpoint})
    return written
