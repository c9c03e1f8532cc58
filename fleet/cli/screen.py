"""How far a rollout is, on stderr: drawn again and again on a terminal, one line a change elsewhere."""

import sys
from typing import TYPE_CHECKING, Any, Self

import click

from fleet.cli.console import COLOURS, Column, clean, fitting, rich_console, shorten
from fleet.cli.session import Session
from fleet.cli.words import size

if TYPE_CHECKING:
    from rich.console import Group

    from fleet.api.rollouts import RolloutAnswer, RolloutHost

MOST_ROWS = 20
"""The most hosts that are drawn one by one; beyond it the rest is counted."""
_SIGNS = {
    "succeeded": "✔",
    "failed": "✖",
    "skipped": "✔",
    "cancelled": "✖",
    "pending": "○",
    "parked": "○",
    "regressed": "✖",
}
_BUSY = "●"
_DOING = {
    "pull": "pulling",
    "ready": "ready",
    "create": "creating",
    "stop": "stopping",
    "start": "starting",
    "verify": "verifying",
    "rollback": "rolling back",
}
_COLUMNS = (Column("", 0), Column("", 3), Column("", 0), Column("", 1), Column("", 2))
_BAR = 10


def doing(host: "RolloutHost") -> str:
    """Return what a host does at this moment: the phase where one is known, else its state."""
    if host.state.live and host.phase in _DOING and not _is_past(host):
        return _DOING[host.phase]
    return host.state.value


def _is_past(host: "RolloutHost") -> bool:
    """Tell whether the phase is older than the state: the host has its bytes, and told of nothing since."""
    return host.phase == "pull" and host.state.value in ("ready", "applying")


def amount(host: "RolloutHost") -> str:
    """Return ``41.0/65.0 MB`` where bytes are coming."""
    if not host.bytes or host.phase != "pull" or _is_past(host):
        return ""
    if not host.total:
        return size(host.bytes)
    whole = size(host.total)
    done = size(host.bytes)
    return f"{done.removesuffix(whole[-3:])}/{whole}" if done.endswith(whole[-3:]) else f"{done}/{whole}"


def source(host: "RolloutHost") -> str:
    """Return the source that serves at this moment, without its scheme."""
    return host.mirror.partition("://")[2] or host.mirror if host.phase == "pull" and not _is_past(host) else ""


def bar(done: int, total: int, width: int = _BAR) -> str:
    """Return a bar of *width* signs; empty where the whole is not known."""
    if not total:
        return ""
    full = min(width, done * width // total)
    return "█" * full + "░" * (width - full)


def waves(answer: "RolloutAnswer") -> list[str]:
    """Return a line for each wave of a rollout that has several: ``wave 2 open  3 of 10 hosts``."""
    if len(answer.waves) < 2:
        return []
    found = []
    for wave in answer.waves:
        whole = sum(wave.counts.values())
        ended = sum(n for state, n in wave.counts.items() if state.ended)
        reason = f"  {wave.reason}" if wave.reason else ""
        found.append(f"wave {wave.number + 1} {wave.state.value}  {ended} of {whole} hosts{reason}")
    return found


class PlainScreen:
    """One line for every change of a host's state, phase or mirror."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._told: dict[str, tuple[str, str]] = {}
        self._waves: dict[int, str] = {}
        self._noted = ""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End; nothing is left open."""

    def show(self, answer: "RolloutAnswer") -> None:
        """Tell what changed since the last time."""
        self._noted = ""
        for line in waves(answer):
            number = int(line.split()[1])
            if self._waves.get(number, "pending") != (state := line.split()[2]):
                self._waves[number] = state
                click.echo(clean(line), err=True)
        for host in answer.hosts:
            now = (doing(host), source(host))
            if self._told.get(host.host) != now:
                self._told[host.host] = now
                via = f"via {now[1]}" if now[1] else ""
                parts = [host.host, host.container, now[0], amount(host), via]
                click.echo(clean("  ".join(part for part in parts if part)), err=True)

    def note(self, text: str) -> None:
        """Tell *text* once."""
        if text != self._noted:
            self._noted = text
            click.echo(text, err=True)


class LiveScreen:
    """A table of the hosts that is drawn again at every look, and gone at the end."""

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
    from rich.table import Table
    from rich.text import Text

    order = sorted(answer.hosts, key=lambda host: (not host.state.live, host.state.ended, host.host))
    shown = order[:MOST_ROWS]
    rows = [[clean(cell) for cell in _cells(host)] for host in shown]
    widths = fitting(_COLUMNS, rows, width)
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for _ in widths:
        table.add_column(no_wrap=True, overflow="ellipsis")
    for host, row in zip(shown, rows, strict=True):
        style = COLOURS.get(host.state.value, "")
        table.add_row(*(Text(shorten(row[i], n), style=style if i in (0, 2) else "") for i, n in widths.items()))
    over = [Text(shorten(clean(line), width), style=COLOURS.get(line.split()[2], "")) for line in waves(answer)]
    return Group(*over, table, Text(_summary(answer), style="dim"))


def _cells(host: "RolloutHost") -> tuple[str, ...]:
    pulling = f"{bar(host.bytes, host.total)} {amount(host)}".strip() if doing(host) == _DOING["pull"] else ""
    return (
        f"{_SIGNS.get(host.state.value, _BUSY)} {host.host}",
        host.container or ", ".join(host.containers),
        doing(host),
        pulling if host.state.live else "",
        f"via {source(host)}" if host.state.live and source(host) else host.reason,
    )


def _summary(answer: "RolloutAnswer") -> str:
    rest = len(answer.hosts) - MOST_ROWS
    counts = ", ".join(f"{n} {state.value}" for state, n in answer.rollout.counts.items() if n)
    more = f"{rest} more hosts; " if rest > 0 else ""
    return f"{more}{counts}"
