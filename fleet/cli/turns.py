"""Where a host stands in a rollout, as text."""

from typing import TYPE_CHECKING

from fleet.cli.words import moment

if TYPE_CHECKING:
    from fleet.api.hosts import HostTurn


def turn_words(turn: "HostTurn") -> str:
    """Return it in a line: ``#42 pending since 2026-11-25 08:00:00Z (running, held: user)``."""
    reason = f": {turn.reason}" if turn.reason else ""
    return f"#{turn.number} {turn.state.value} since {moment(turn.changed_at)} ({turn.rollout_words}){reason}"
