"""An engine on which somebody does something in the middle of an update, as people do on their own host."""

from collections.abc import Callable
from typing import Any

from fleet.testing.engine_containers import MemoryContainer
from tests.updates.site import Site

Meddle = Callable[[Site], None]


class Meddled:
    """A site's engine; *meddle* happens just before each call for which *when* says so, told its name and its number."""

    def __init__(self, site: Site, when: Callable[[str, int], bool], meddle: Meddle) -> None:
        """Take the place of the engine of *site*."""
        self._site, self._when, self._meddle = site, when, meddle
        self.calls: list[str] = []
        self.itself = site.engine
        site.engine = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.itself, name)

        def call(*arguments: Any, **named: Any) -> Any:
            self.calls.append(name)
            if self._when(name, len(self.calls) - 1):
                self._act()
            return real(*arguments, **named)

        return call if callable(real) else real

    def _act(self) -> None:
        """Let the meddler see the engine as it is, and what it does not meet the next meddling."""
        self._site.engine = self.itself
        try:
            self._meddle(self._site)
        finally:
            self._site.engine = self  # type: ignore[assignment]


def once(call: str, number: int = 1) -> Callable[[str, int], bool]:
    """Return what says when *call* is made for that time."""
    left = [number]

    def now(name: str, at: int) -> bool:
        left[0] -= name == call
        return name == call and left[0] == 0

    return now


def after(call: str) -> Callable[[str, int], bool]:
    """Return what says so at the first call after *call*."""
    made = [False, False]

    def now(name: str, at: int) -> bool:
        due, made[1] = made[0] and not made[1], made[0]
        made[0] = made[0] or name == call
        return due

    return now


def at_number(number: int) -> Callable[[str, int], bool]:
    """Return what says so at the call of that number."""
    return lambda name, at: at == number


def called(site: Site, name: str = "web") -> MemoryContainer:
    """Return the container of exactly that name."""
    return next(one for one in site.engine.world.containers.values() if one.name == name)


def restart(site: Site, name: str = "web") -> None:
    """``docker restart -t 0``."""
    made = called(site, name)
    site.engine.world.stop(made, made.run, killed=True)
    site.engine.world.start(made)
