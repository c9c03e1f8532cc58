"""Two sides of one comparison, measured in turn within one run, so that a noisy machine disturbs both alike."""

import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

Figures = Mapping[str, Sequence[float]]


def in_turn(sides: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: int = 1) -> dict[str, list[float]]:
    """Measure every side *rounds* times, forth and back (ABBA), after rounds that do not count."""
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-warm_up, rounds):
        for name in list(sides) if number % 2 == 0 else reversed(list(sides)):
            figure = sides[name]()
            if number >= 0:
                figures[name].append(figure)
    return figures


def show_run(title: str) -> None:
    """Print what is measured, where, and when."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    python = platform.python_version()
    print(
        f"{title}\n{datetime.now(UTC):%Y-%m-%d %H:%MZ}, commit {commit.stdout.strip() or '?'}, {os.cpu_count()} cores,"
    )
    print(f"load {load}, Python {python}, Linux {platform.release()}\n")


def show(what: str, unit: str, figures: Figures) -> None:
    """Print median, least and most of each side, and its median against that of the first."""
    first = statistics.median(next(iter(figures.values())))
    print(f"{what} ({unit})")
    print(f"  {'side':<34}{'n':>4}{'median':>10}{'least':>10}{'most':>10}{'ratio':>8}")
    for name, values in figures.items():
        median = statistics.median(values)
        ratio = f"{median / first:.2f}" if first else "-"
        row = "".join(
            f"{each:>10.3g}" if each < 1000 else f"{each:>10.0f}" for each in (median, min(values), max(values))
        )
        print(f"  {name:<34}{len(values):>4}{row}{ratio:>8}")
    print(flush=True)
