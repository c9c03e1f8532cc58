"""How far a rollout is, on stderr: drawn again and again on a terminal, one line a change elsewhere."""

import sys
from typing import TYPE_CHECKING, Any, Self

import click

from fleet.cli.console import COLOURS, clean, rich_console, shorten
from fleet.cli.session import Session
from fleet.cli.tree import amount, doing, lines, source, stops, wave_line

if TYPE_CHECKING:
    from rich.console import Group

    from fleet.api.rollouts import RolloutAnswer, RolloutHost

DETACHES = "Ctrl-C ends the watch; the rollout goes on"


class PlainScreen:
    """One line for every change: of a host's state, phase or mirror, of a wave, of what holds the rollout.

    Hosts that wait are not told of, and those that had ended before the watch are counted by their waves.
    """

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._told: dict[str, tuple[str, str]] = {}
        self._waves: dict[int, str] = {}
        self._stops: list[str] = []
        self._noted = ""
        self._first = True

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End; nothing is left open."""

    def show(self, answer: "RolloutAnswer") -> None:
        """Tell what changed since the last time."""
        self._noted = ""
        self._tell_waves(answer)
        for line in (now := stops(answer)):
            if line not in self._stops:
                click.echo(clean(line), err=True)
        self._stops = now
        for host in answer.hosts:
            self._tell_host(host)
        self._first = False

    def _tell_waves(self, answer: "RolloutAnswer") -> None:
        for wave in answer.waves if len(answer.waves) > 1 else ():
            if self._waves.get(wave.number, "pending") != wave.words:
                self._waves[wave.number] = wave.words
                click.echo(clean(wave_line(answer, wave)), err=True)

    def _tell_host(self, host: "RolloutHost") -> None:
        now = (doing(host), source(host))
        if self._told.get(host.host, ("pending", "")) == now:
            return
        self._told[host.host] = now
        if self._first and host.state.value in ("succeeded", "skipped", "cancelled"):
            return
        via = f"via {now[1]}" if now[1] else ""
        why = host.reason if not host.state.live else ""
        parts = [host.host, host.container or ", ".join(host.containers), now[0], amount(host), via, why]
        click.echo(clean("  ".join(part for part in parts if part)), err=True)

    def note(self, text: str) -> None:
        """Tell *text* once."""
        if text != self._noted:
            self._noted = text
            click.echo(text, err=True)


class LiveScreen:
    """Waves and hosts, drawn again at every look, and gone at the end."""

    def __init__(self, session: Session) -> None:
        """Prepare; nothing is drawn yet."""
        from rich.live import Live

        self._console = rich_console(session, sys.stderr)
        self._live = Live(console=self._console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        """Take the terminal's last lines."""
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Give them back."""
        self._live.__exit__(*error)

    def show(self, answer: "RolloutAnswer") -> None:
        """Draw."""
        self._live.update(_drawn(answer, self._console.width), refresh=True)

    def note(self, text: str) -> None:
        """Draw *text* instead, until the next look succeeds."""
        from rich.text import Text

        self._live.update(Text(text, style="yellow"), refresh=True)


def _drawn(answer: "RolloutAnswer", width: int) -> "Group":
    from rich.console import Group
    from rich.text import Text

    drawn = [Text(line, style=COLOURS.get(word, ""), no_wrap=True) for line, word in lines(answer, width)]
    return Group(*drawn, Text(shorten(DETACHES, width), style="dim", no_wrap=True))
