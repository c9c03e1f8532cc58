"""The ways in which a mirror does wrong, as the fault matrix tries them: 53, each with what must come of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Place(StrEnum):
    """Which mirror a case is about."""

    PLAIN = "plain"
    """A mirror in plain http that does what its rules say."""
    SECURE = "secure"
    """One with TLS that does what its rules say."""
    TOKEN = "token"
    """One that asks for a token of its own."""
    FOREIGN_REALM = "foreign realm"
    """One that sends to another host for a token."""
    SELF_SIGNED = "self-signed"
    """One with TLS for which nobody vouches."""
    EXPIRED = "expired"
    """One with TLS whose certificate has run out."""
    DEAD = "dead"
    """A machine that refuses connections."""
    BLACK_HOLE = "black hole"
    """A machine that answers nothing at all."""
    OURSELVES = "ourselves"
    """The gateway itself."""
    NOWHERE = "nowhere"
    """No mirror: it is this host that fails."""
    ALONE = "alone"
    """No mirror: the registry that the reference names does wrong, and no source is left."""


_WAITED_FOR = frozenset({"hang", "stall", "slow", "drip", "delay"})


class Ending(StrEnum):
    """What a pull through the gateway must come to."""

    RIGHT = "right"
    """The engine has the right digest under the name."""
    FAILED = "failed"
    """A failure that names its reason; the name still means the old image, and its container runs on."""
    GOES_ON = "goes on"
    """At first such a failure; the next pull goes on where that one ended, and has the right digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fault."""

    name: str
    place: Place = Place.PLAIN
    rules: tuple[Mapping[str, Any], ...] = ()
    ending: Ending = Ending.RIGHT
    helps: bool = True
    """Whether the origin must give something that the mirror does not."""
    logged: bool = True
    """Whether the mirror writes every request down: it does so at a request's end, and some have none."""
    wasted: bool = False
    """Whether the mirror sends bytes that are of no use, so that its log has more than the history."""
    twice: bool = False
    """Whether bytes must come twice until it is known who lied, or because a source knows no parts."""
    stalls: int = 1
    """How many times the time for one fault may pass: an only source is asked again while it gets further."""
    killed: bool = False
    """Whether the agent is killed within the pull, and another one goes on."""
    spool_full: bool = False
    """Whether the spool's disk has no room."""

    @property
    def waits(self) -> bool:
        """Whether most of it is waiting for what does not come."""
        return self.place is Place.BLACK_HOLE or any(rule["fault"] in _WAITED_FOR for rule in self.rules)


def _rule(fault: str, kind: str = "*", **more: Any) -> tuple[Mapping[str, Any], ...]:
    return ({"fault": fault, "kind": kind, **more},)


def _statuses(kind: str) -> list[Case]:
    what = kind.removesuffix("s")
    plain = [
        Case(name=f"{what}: {status}", rules=_rule("status", kind, status=status))
        for status in (401, 403, 404, 500, 503)
    ]
    return [
        *plain,
        Case(name=f"{what}: 429", rules=_rule("status", kind, status=429)),
        Case(name=f"{what}: 429, retry after a minute", rules=_rule("status", kind, status=429, retry_after="60")),
    ]


def _late_blobs(status: int) -> tuple[Mapping[str, Any], ...]:
    """Return what a cache does whose own upstream is away: what it has not it finds out after long, each time."""
    return (*_rule("delay", "blobs", seconds=8.0), *_rule("status", "blobs", status=status))


def _alone(name: str, rules: tuple[Mapping[str, Any], ...]) -> Case:
    return Case(
        name=f"no other source, and {name}",
        place=Place.ALONE,
        rules=rules,
        ending=Ending.FAILED,
        helps=False,
        logged=False,
        wasted=True,
    )


NO_FAULT = Case(name="no fault", helps=False)
CASES = [
    Case(name="refuses connections", place=Place.DEAD),
    Case(name="black hole", place=Place.BLACK_HOLE),
    Case(name="closes without an answer", rules=_rule("close")),
    Case(name="manifest: hangs", rules=_rule("hang", "manifests")),
    Case(name="blob: hangs", rules=_rule("hang", "blobs")),
    Case(name="blob: stalls in the middle", rules=_rule("stall", "blobs", at=300_000), logged=False),
    Case(name="blob: the size of a chunk drips", rules=_rule("drip", "blobs", at=300_000), logged=False),
    Case(name="404, after eight seconds each", rules=(*_rule("delay", seconds=8.0), *_rule("status", status=404))),
    Case(name="blob: 502, after eight seconds each", rules=_late_blobs(502)),
    Case(name="blob: slower than the floor", rules=_rule("slow", "blobs", rate=20_000), logged=False),
    Case(name="blob: cut in the middle, once", rules=_rule("cut", "blobs", at=300_000, times=1)),
    Case(name="blob: cut in the middle, always", rules=_rule("cut", "blobs", at=300_000)),
    Case(name="blob: not one byte", rules=_rule("zero_bytes", "blobs")),
    Case(name="blob: wrong bytes of the right size", rules=_rule("wrong_bytes", "blobs"), wasted=True),
    Case(name="blob: wrong bytes, then cut", rules=_rule("wrong_prefix", "blobs", at=300_000), wasted=True, twice=True),
    Case(name="manifest: wrong bytes", rules=_rule("wrong_bytes", "manifests"), wasted=True),
    Case(name="manifest: another one under the right header", rules=_rule("other_manifest", "manifests"), wasted=True),
    Case(name="stale tag", rules=_rule("stale_tag"), helps=False),
    *_statuses("manifests"),
    *_statuses("blobs"),
    Case(name="no digest header", rules=_rule("no_digest"), helps=False),
    Case(name="a wrong digest in the header", rules=_rule("lying_digest"), helps=False),
    Case(name="HEAD: 405", rules=_rule("no_head"), helps=False),
    Case(name="no sizes announced", rules=_rule("chunked"), helps=False),
    Case(
        name="blob: cut, and Range ignored",
        rules=(*_rule("cut", "blobs", at=300_000, times=1), *_rule("no_range", "blobs")),
        wasted=True,
        twice=True,
    ),
    Case(name="blob: labelled as gzip", rules=_rule("encoded", "blobs"), helps=False),
    Case(name="blob: redirect to another host", rules=_rule("redirect", "blobs", location="OTHER"), helps=False),
    Case(name="redirect loop", rules=_rule("redirect_loop")),
    Case(name="blob: redirect to a host that is not there", rules=_rule("redirect", "blobs", location="NOBODY")),
    Case(name="blob: redirect from https to http", place=Place.SECURE, rules=_rule("redirect_to_http", "blobs")),
    Case(name="token from a foreign host", place=Place.FOREIGN_REALM),
    Case(
        name="token expires within a blob",
        place=Place.TOKEN,
        rules=_rule("token_expires", "blobs", at=300_000, times=1),
    ),
    Case(name="blob: without end", rules=_rule("endless", "blobs"), helps=False, logged=False, wasted=True),
    Case(name="manifest: without end", rules=_rule("endless", "manifests"), logged=False, wasted=True),
    Case(name="self-signed certificate", place=Place.SELF_SIGNED),
    Case(name="expired certificate", place=Place.EXPIRED),
    Case(name="a mirror that is this agent's own gateway", place=Place.OURSELVES),
    Case(
        name="the agent is killed within a blob",
        rules=_rule("slow", "blobs", rate=400_000),
        helps=False,
        logged=False,
        wasted=True,
        killed=True,
    ),
    Case(
        name="no room in the spool",
        place=Place.NOWHERE,
        ending=Ending.FAILED,
        helps=False,
        wasted=True,
        spool_full=True,
    ),
    _alone("wrong bytes of the right size", _rule("wrong_bytes", "blobs")),
    _alone("blobs: 404", _rule("status", "blobs", status=404)),
    _alone("manifests hang", _rule("hang", "manifests")),
    replace(
        _alone("blobs stall every 300 kB", _rule("stall", "blobs", at=300_000)),
        ending=Ending.GOES_ON,
        stalls=2,
    ),
]
