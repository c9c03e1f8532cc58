"""Which endpoints are left alone for a while because they failed a moment ago: one circuit breaker per endpoint
and class of request, manifests or blobs: a mirror may fail with the one and do well with the other.

Time is an argument in disguise (the clock is handed in); nothing here asks an endpoint. Not safe for several threads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.clock import Clock
from fleet.mirrors.attempt import AttemptResult
from fleet.registry.address import Kind

OPEN_S = 60.0
"""How long an endpoint is left alone at first; doubled each time that its trial fails."""
LONGEST_OPEN_S = 600.0
LIAR_OPEN_S = 3600.0
"""An endpoint that served wrong bytes is broken or hostile; neither passes within minutes."""
ERRORS_WINDOW_S = 60.0
MOST_ERRORS = 3
"""So many server errors within the window open the breaker: one may be chance, three are a state."""
LONG_S = 3.0
"""Who lets so long be waited and then fails, whatever by, costs as much as one that is down: so long a connection may take."""
ABSENT_S = 300.0
"""How long "not there" is believed of one digest at one endpoint."""

_FOR_ALL = frozenset(
    {AttemptResult.UNREACHABLE, AttemptResult.TIMEOUT, AttemptResult.STALLED, AttemptResult.WRONG_BYTES}
)
"""What costs seconds or trust at every try, whatever is asked for: it opens the breakers of every class at once."""

_AT_ONCE = _FOR_ALL | {AttemptResult.SLOW, AttemptResult.RATE_LIMITED}
"""What opens the breaker of its own class at once: registries count and slow down manifests and blobs apart."""

_ALIVE = frozenset({AttemptResult.NOT_FOUND, AttemptResult.UNAUTHORIZED})
"""Answers of an endpoint that is well."""

_CLASSES: tuple[Kind, ...] = ("manifests", "blobs")

_WHY = {
    AttemptResult.UNREACHABLE: "it could not be reached",
    AttemptResult.TIMEOUT: "it did not answer in time",
    AttemptResult.STALLED: "it stopped in the middle",
    AttemptResult.WRONG_BYTES: "it gave wrong bytes",
    AttemptResult.SLOW: "it was too slow",
    AttemptResult.RATE_LIMITED: "it asked for a rest",
    AttemptResult.SERVER_ERROR: "it answered with server errors",
}
_LATE = "it failed after a long time"


@dataclass(slots=True, kw_only=True)
class _Breaker:
    result: AttemptResult = AttemptResult.SERVER_ERROR
    """What opened it."""
    opened_at: float = 0.0
    open_until: float = 0.0
    opened: int = 0
    """How often it opened since the endpoint last did well."""
    on_trial: bool = False
    errors: list[float] = field(default_factory=list)
    wasted: list[tuple[float, float]] = field(default_factory=list)
    """When was waited in vain, and for how many seconds."""

    def told(self, now: float) -> str:
        """Return why it is open, of which the text of the failure itself would tell too much: it names another image."""
        why = f"{_WHY.get(self.result, _LATE)} {now - self.opened_at:.0f} s ago"
        if now >= self.open_until:
            return f"not asked: {why}, and another request is trying it now"
        return f"not asked: {why}, and is left alone for {self.open_until - now:.0f} s more"


class Breakers:
    """The breakers of all endpoints, by their names."""

    def __init__(self, clock: Clock, *, long_s: float = LONG_S) -> None:
        self._clock, self._long_s = clock, long_s
        self._breakers: dict[tuple[str, Kind], _Breaker] = {}
        self._absent: dict[tuple[str, str], tuple[float, str]] = {}

    def open(self, kind: Kind) -> Mapping[str, str]:
        """Return the endpoints that are to be left alone now with requests of *kind*, and why.

        One whose time is over is on trial: a single request may go there, and the others wait for what becomes of it.
        """
        now = self._clock.monotonic()
        return {
            name: breaker.told(now)
            for (name, of), breaker in self._breakers.items()
            if of == kind and (now < breaker.open_until or breaker.on_trial)
        }

    def asking(self, name: str, kind: Kind) -> None:
        """Take note that a request goes to *name*; where its breaker was open it is now on trial."""
        breaker = self._breakers.get((name, kind))
        if breaker and breaker.opened:
            breaker.on_trial = True

    def succeeded(self, name: str, kind: Kind) -> None:
        """Close the breaker of *name*: it gave what was asked."""
        self._breakers.pop((name, kind), None)

    def failed(
        self,
        name: str,
        kind: Kind,
        result: AttemptResult,
        *,
        retry_after_s: float | None = None,
        waited_s: float = 0.0,
    ) -> None:
        """Take note of a failure of *name*, which opens its breakers at once or as one of several.

        *waited_s* is how long was waited for it in vain.
        """
        long = waited_s >= self._long_s
        if result in _ALIVE and not long:
            self.succeeded(name, kind)
            return
        for each in _CLASSES if long or result in _FOR_ALL else (kind,):
            self._fail(self._breakers.setdefault((name, each), _Breaker()), result, retry_after_s, waited_s)

    def _fail(self, breaker: _Breaker, result: AttemptResult, retry_after_s: float | None, waited_s: float) -> None:
        breaker.on_trial = False
        now = self._clock.monotonic()
        breaker.wasted = [each for each in breaker.wasted if now - each[0] < ERRORS_WINDOW_S] + [(now, waited_s)]
        if result is AttemptResult.SERVER_ERROR:
            breaker.errors = [at for at in breaker.errors if now - at < ERRORS_WINDOW_S] + [now]
        many = len(breaker.errors) >= MOST_ERRORS or sum(seconds for _, seconds in breaker.wasted) >= self._long_s
        if result in _AT_ONCE or retry_after_s is not None or many:
            until = now + _open_s(result, breaker.opened, retry_after_s)
            breaker.opened_at, breaker.open_until, breaker.opened = now, until, breaker.opened + 1
            breaker.result, breaker.errors, breaker.wasted = result, [], []

    def released(self, name: str, kind: Kind) -> None:
        """Take note that the request to *name* was given up for a reason that is not its fault."""
        if (name, kind) in self._breakers:
            self._breakers[name, kind].on_trial = False

    def missing(self, name: str, digest: str, reason: str) -> None:
        """Remember that *name* does not have *digest*."""
        now = self._clock.monotonic()
        self._absent = {key: row for key, row in self._absent.items() if row[0] > now}
        self._absent[name, digest] = (now + ABSENT_S, reason)

    def absent(self, digest: str) -> Mapping[str, str]:
        """Return the endpoints that are known not to have *digest*, and why."""
        now = self._clock.monotonic()
        return {
            name: reason for (name, other), (until, reason) in self._absent.items() if other == digest and now < until
        }


def _open_s(result: AttemptResult, opened: int, retry_after_s: float | None) -> float:
    if result is AttemptResult.WRONG_BYTES:
        return LIAR_OPEN_S
    if retry_after_s is not None:
        return retry_after_s
    return min(OPEN_S * 2.0**opened, LONGEST_OPEN_S)
