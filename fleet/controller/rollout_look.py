"""The look at rollouts that wait for a person (pure)."""

from collections.abc import Iterable, Sequence

from fleet.controller.condition import Found
from fleet.history.held import HeldRow
from fleet.rollouts.states import Hold

_KNOWN = (Hold.USER, Hold.SUPERSEDED)
"""Holds that nobody is told of: who paused a rollout knows it, and a newer rollout holds its earlier one by itself."""


def waiting_rollouts(held: Sequence[HeldRow]) -> Iterable[Found]:
    """Find the rollouts of which nothing goes on until somebody says something, with what may be said."""
    for row in held:
        holds = [hold for hold in Hold if hold in row.holds and hold not in _KNOWN]
        if holds and Hold.USER not in row.holds:
            subject = f"rollout #{row.number}"
            text = f"{subject}: waits: {', '.join(hold.words for hold in holds)}"
            remedy = "; ".join(filter(None, (hold.answer(row.number) for hold in holds)))
            yield Found(subject=subject, text=text, remedy=remedy)
