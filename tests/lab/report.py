"""What the demo prints: headings with the time, and tables as wide as what is in them."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

_BEGAN = time.monotonic()


def heading(text: str) -> None:
    """Print what happens now, with the seconds since the demo began."""
    print(f"\n[{time.monotonic() - _BEGAN:5.1f} s] {text}", flush=True)


def line(text: str) -> None:
    """Print one line below a heading."""
    print(f"          {text}", flush=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print *rows* below *columns*."""
    widths = [max(len(str(cell)) for cell in cells) for cells in zip(columns, *rows, strict=True)]
    for row in (columns, ["-" * width for width in widths], *rows):
        line("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def history(outcomes: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> None:
    """Print the history: a line for each outcome, and below it one for each source that was tried."""
    rows = []
    for told in outcomes:
        update, pull = told["update"], told["pull"] or {}
        rows.append(
            [
                update["host"],
                update["container"],
                update["result"],
                f"{_short(update['old_digest'])} -> {_short(update['new_digest'])}",
                named(pull.get("mirror", ""), names),
                f"{pull.get('bytes', 0):,}",
                _phases(update),
                _seconds(update["downtime_ms"]),
                update["asked_by"],
            ]
        )
    table(["HOST", "CONTAINER", "RESULT", "DIGEST", "MIRROR", "BYTES", "SECONDS BY PHASE", "DOWN", "ASKED BY"], rows)
    print()
    tried = [
        [told["update"]["host"], told["update"]["container"], *_attempt(row, names)]
        for told in outcomes
        for row in (told["pull"] or {}).get("attempts", [])
    ]
    table(["HOST", "CONTAINER", "TRIED", "ROLE", "RESULT", "BYTES", "WHY"], tried)


def named(source: str, names: Mapping[str, str]) -> str:
    """Return what the demo calls the registry at *source*."""
    found = [f"{name} ({host})" for host, name in names.items() if host and host in source]
    return found[0] if found else source or "-"


def shortened(text: str, most: int = 100) -> str:
    """Return *text* without its middle where it is longer than a screen likes."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


def _attempt(row: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    why = shortened(row["reason"]) or ("verified" if row["verified"] else "-")
    return [named(row["mirror"], names), row["role"], row["result"], f"{row['bytes']:,}", why]


def _phases(update: Mapping[str, Any]) -> str:
    phases = ("pull", "create", "stop", "start", "verify", "rollback")
    return ", ".join(f"{name} {_seconds(ms)}" for name in phases if (ms := update[f"{name}_ms"]) is not None)


def _seconds(milliseconds: int | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1000:.2f}"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12] or "?"
