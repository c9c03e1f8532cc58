"""Which endpoints are left alone for a while because they failed a moment ago: one circuit breaker per endpoint.

Time is an argument in disguise (the clock is handed in); nothing here asks an endpoint. Not safe for several threads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.clock import Clock
from fleet.mirrors.attempt import AttemptResult

OPEN_S = 60.0
"""How long an endpoint is left alone at first; doubled each time that its trial fails."""
LONGEST_OPEN_S = 600.0
LIAR_OPEN_S = 3600.0
"""An endpoint that served wrong bytes is broken or hostile; neither passes within minutes."""
ERRORS_WINDOW_S = 60.0
MOST_ERRORS = 3
"""So many server errors within the window open the breaker: one may be chance, three are a state."""
ABSENT_S = 300.0
"""How long "not there" is believed of one digest at one endpoint."""

_AT_ONCE = frozenset(
    {
        AttemptResult.UNREACHABLE,
        AttemptResult.TIMEOUT,
        AttemptResult.STALLED,
        AttemptResult.SLOW,
        AttemptResult.WRONG_BYTES,
        AttemptResult.RATE_LIMITED,
    }
)
"""What costs seconds or trust at every try."""

_ALIVE = frozenset({AttemptResult.NOT_FOUND, AttemptResult.UNAUTHORIZED})
"""Answers of an endpoint that is well."""


@dataclass(slots=True, kw_only=True)
class _Breaker:
    reason: str = ""
    open_until: float = 0.0
    opened: int = 0
    """How often it opened since the endpoint last did well."""
    on_trial: bool = False
    errors: list[float] = field(default_factory=list)


class Breakers:
    """The breakers of all endpoints, by their names."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._breakers: dict[str, _Breaker] = {}
        self._absent: dict[tuple[str, str], tuple[float, str]] = {}

    def open(self) -> Mapping[str, str]:
        """Return the endpoints that are to be left alone now, and why.

        One whose time is over is on trial: a single request may go there, and the others wait for what becomes of it.
        """
        now = self._clock.monotonic()
        return {name: b.reason for name, b in self._breakers.items() if now < b.open_until or b.on_trial}

    def asking(self, name: str) -> None:
        """Take note that a request goes to *name*; where its breaker was open it is now on trial."""
        breaker = self._breakers.get(name)
        if breaker and breaker.opened:
            breaker.on_trial = True

    def succeeded(self, name: str) -> None:
        """Close the breaker of *name*: it gave what was asked."""
        self._breakers.pop(name, None)

    def failed(self, name: str, result: AttemptResult, reason: str, *, retry_after_s: float | None = None) -> None:
        """Take note of a failure of *name*, which opens its breaker at once or as one of several."""
        if result in _ALIVE:
            self.succeeded(name)
            return
        breaker = self._breakers.setdefault(name, _Breaker())
        breaker.on_trial = False
        now = self._clock.monotonic()
        if result is AttemptResult.SERVER_ERROR:
            breaker.errors = [at for at in breaker.errors if now - at < ERRORS_WINDOW_S] + [now]
        if result in _AT_ONCE or len(breaker.errors) >= MOST_ERRORS:
            breaker.open_until = now + _open_s(result, breaker.opened, retry_after_s)
            breaker.opened += 1
            breaker.reason = reason
            breaker.errors = []

    def released(self, name: str) -> None:
        """Take note that the request to *name* was given up for a reason that is not its fault."""
        if name in self._breakers:
            self._breakers[name].on_trial = False

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
    if result is AttemptResult.RATE_LIMITED and retry_after_s is not None:
        return retry_after_s
    return min(OPEN_S * 2.0**opened, LONGEST_OPEN_S)
