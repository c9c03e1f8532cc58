"""The look at rollouts that wait for a person (pure)."""

from collections.abc import Iterable, Sequence

from fleet.controller.condition import Found
from fleet.history.questions.held import Asked, HeldRow
from fleet.images.reference import Reference
from fleet.rollouts.states import Hold

_KNOWN = (Hold.USER, Hold.SUPERSEDED)
"""Holds that nobody is told of: who paused a rollout knows it, and a newer rollout holds its earlier one by itself."""

_SHOWN = 3
"""How many images are named of what waits."""


def waiting_rollouts(held: Sequence[HeldRow]) -> Iterable[Found]:
    """Find the rollouts of which nothing goes on until somebody says something, with what may be said."""
    for row in held:
        holds = [hold for hold in Hold if hold in row.holds and hold not in _KNOWN]
        if holds and Hold.USER not in row.holds:
            subject = f"rollout #{row.number}"
            text = f"{subject}: waits: {', '.join(_said(hold, row.asked) for hold in holds)}"
            remedy = "; ".join(filter(None, (hold.answer(row.number) for hold in holds)))
            since = row.asked.since if row.asked else None
            yield Found(subject=subject, text=text, since=since, remedy=remedy)


def _said(hold: Hold, asked: Asked | None) -> str:
    """Return what holds a rollout; of one that waits for approval, of what."""
    if hold is not Hold.APPROVAL or asked is None:
        return hold.words
    hosts = "" if asked.hosts is None else f" ({asked.hosts} {'host' if asked.hosts == 1 else 'hosts'})"
    images = [
        f"{Reference.parse(image).familiar} {digest.partition(':')[2][:12]}" for image, digest in asked.brought.images
    ]
    more = f" and {len(images) - _SHOWN} more" if len(images) > _SHOWN else ""
    whom = "" if asked.brought.hosts is None else f" its first {asked.brought.hosts} hosts"
    return (
        f"approval of wave {asked.wave + 1} of {asked.waves}{hosts}; it brings{whom} {', '.join(images[:_SHOWN])}{more}"
    )
