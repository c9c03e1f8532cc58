"""A rollout as lines: its waves, under each the hosts that matter now, with what they do, bytes and the mirror that serves."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fleet.cli.console import Column, clean, fitting, shorten
from fleet.cli.words import size
from fleet.rollouts.states import BAD, LIVE, HostState, WaveState

if TYPE_CHECKING:
    from fleet.api.rollouts import RolloutAnswer, RolloutHost, Wave

MOST_ROWS = 20
"""The most hosts that are drawn one by one; beyond it the rest is counted."""
_SIGNS: dict[str, str] = {
    "succeeded": "✔",
    "failed": "✖",
    "skipped": "✔",
    "cancelled": "✖",
    "pending": "○",
    "parked": "○",
    "regressed": "✖",
    "passed": "✔",
    "waived": "✔",
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
    "pre-update": "asking its hook",
    "post-update": "running its hook",
}
_COLUMNS = (Column("", 0), Column("", 3), Column("", 0), Column("", 1), Column("", 2))
_BAR = 10
_INDENT = "  "


def doing(host: "RolloutHost") -> str:
    """Return what a host does at this moment: the phase where one is known, else its state."""
    if host.state.live and host.phase in _DOING and not _is_past(host):
        return _DOING[host.phase]
    if _pulls_ahead(host):
        return "pulling ahead"
    return host.state.value


def _pulls_ahead(host: "RolloutHost") -> bool:
    """Tell whether a host fetches what it will need while its turn is still to come."""
    return host.state is HostState.PENDING and host.phase == "pull"


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
    return [wave_line(answer, wave) for wave in answer.waves] if len(answer.waves) > 1 else []


def wave_line(answer: "RolloutAnswer", wave: "Wave") -> str:
    """Return ``wave 2 soaking  3 of 10 hosts  until 12:40Z``."""
    ended = sum(n for state, n in wave.counts.items() if state.ended)
    more = [wave.reason] if wave.reason else []
    if (until := _soaks_until(answer, wave)) is not None:
        more.append(f"until {until.astimezone(UTC):%H:%M:%S}Z")
    return "  ".join([f"wave {wave.number + 1} {wave.words}", f"{ended} of {sum(wave.counts.values())} hosts", *more])


def stops(answer: "RolloutAnswer") -> list[str]:
    """Return what holds or freezes the rollout, or keeps one of its hosts from it, a line each."""
    held = [f"held: {hold.words}" for hold in answer.rollout.holds]
    told = [each for each in (answer.frozen, answer.window) if each]
    return [*held, *told, *refusals(answer)]


def refusals(answer: "RolloutAnswer") -> list[str]:
    """Return why nothing is sent to hosts whose turn is still to come, a line each."""
    return [host.refused for host in answer.hosts if host.refused]


def lines(answer: "RolloutAnswer", width: int) -> list[tuple[str, str]]:
    """Return the whole rollout as lines of at most *width*, each with the word whose colour it has."""
    shown = _shown(answer)
    rows = [[clean(cell) for cell in _cells(host)] for host in shown]
    several = len(answer.waves) > 1
    indent = _INDENT if several else ""
    widths = fitting(_COLUMNS, rows, width - len(indent)) if rows else {}
    drawn = [(host, indent + _row(row, widths)) for host, row in zip(shown, rows, strict=True)]
    found = [(_head(answer), answer.rollout.state.value), *((clean(line), "unknown") for line in stops(answer))]
    for wave in answer.waves:
        if several:
            sign = _SIGNS.get(wave.state.value, _BUSY if wave.opened_at else "○")
            sign = "○" if wave.opened_at is None else sign
            found.append((clean(f"{sign} {wave_line(answer, wave)}"), wave.state.value if wave.opened_at else ""))
        found += [(line, host.state.value) for host, line in drawn if host.wave == wave.number or not several]
        if more := _left_out(answer, wave, shown):
            found.append((f"{indent}{more}", ""))
    return [(shorten(line, width), word) for line, word in found]


def _head(answer: "RolloutAnswer") -> str:
    counts = answer.rollout.counts
    ended, whole = sum(n for state, n in counts.items() if state.ended), sum(counts.values())
    bad = sum(counts.get(state, 0) for state in BAD)
    failed = f", {bad} failed" if bad else ""
    return (
        f"#{answer.rollout.number} {answer.rollout.state.words}  {bar(ended, whole)} {ended} of {whole} hosts{failed}"
    )


def _shown(answer: "RolloutAnswer") -> "list[RolloutHost]":
    """Return the hosts that are drawn one by one: of waves that were opened, what is live first, then what failed."""
    opened = {wave.number for wave in answer.waves if wave.opened_at is not None}
    last = {wave.number for wave in answer.waves if wave.state in (WaveState.OPEN, WaveState.SOAKING)}
    last |= {wave.number for wave in answer.waves if len(answer.waves) == 1}
    wanted = [
        host
        for host in answer.hosts
        if host.state.live or _pulls_ahead(host) or (host.wave in opened and host.state in BAD) or host.wave in last
    ]
    return sorted(sorted(wanted, key=_urgency)[:MOST_ROWS], key=lambda host: (host.wave, *_urgency(host)))


def _urgency(host: "RolloutHost") -> tuple[int, str]:
    order = (LIVE, BAD, (HostState.PARKED,), (HostState.PENDING,))
    return next((n for n, states in enumerate(order) if host.state in states), len(order)), host.host


def _left_out(answer: "RolloutAnswer", wave: "Wave", shown: "Iterable[RolloutHost]") -> str:
    """Return how many hosts of an open wave are not drawn, and how they stand; empty where the wave's line says it."""
    if len(answer.waves) > 1 and wave.state not in (WaveState.OPEN, WaveState.SOAKING):
        return ""
    drawn = {host.host_id for host in shown}
    rest = Counter(host.state for host in answer.hosts if host.wave == wave.number and host.host_id not in drawn)
    return "and " + ", ".join(f"{n} {state.value}" for state, n in rest.items()) if rest else ""


def _soaks_until(answer: "RolloutAnswer", wave: "Wave") -> datetime | None:
    if wave.state is not WaveState.SOAKING or wave.soak_since is None:
        return None
    specs = answer.spec.get("waves") or ()
    soak_ms = specs[wave.number].get("soak_ms", 0) if wave.number < len(specs) else 0
    return wave.soak_since + timedelta(milliseconds=soak_ms) if soak_ms else None


def _cells(host: "RolloutHost") -> tuple[str, ...]:
    busy = host.state.live or _pulls_ahead(host)
    pulling = f"{bar(host.bytes, host.total)} {amount(host)}".strip() if doing(host).startswith(_DOING["pull"]) else ""
    return (
        f"{_SIGNS.get(host.state.value, _BUSY)} {host.host}",
        host.container or ", ".join(host.containers),
        doing(host),
        pulling if busy else "",
        f"via {source(host)}" if busy and source(host) else host.reason,
    )


def _row(row: list[str], widths: dict[int, int]) -> str:
    from rich.cells import set_cell_size

    return "  ".join(set_cell_size(shorten(row[i], n), n) for i, n in widths.items()).rstrip()
