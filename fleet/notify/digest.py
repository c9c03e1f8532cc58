"""Many events as few pieces of news (pure): what is over is told with how it began, and what is alike is told together."""

from collections.abc import Iterable, Sequence

from fleet.notify.events import OF_UPDATES, Event, EventType

_CONDITIONS = (EventType.CONDITION_RAISED, EventType.CONDITION_ENDED)
_WENT_WRONG = (EventType.FAILED, EventType.ROLLED_BACK)


def condensed(events: Sequence[Event]) -> list[Event]:
    """Return what is left to say of *events*, oldest first, where all of them are one message.

    Of a condition, and of what one schedule found, the last word counts. A failure that the summary of its rollout names,
    with its reason, needs no place of its own.
    """
    ordered = sorted(events, key=lambda event: event.at)
    last = {_key(event): event for event in ordered}
    summed = {named for event in ordered for named in _named(event)}
    return [event for event in ordered if last[_key(event)] is event and _said(event) not in summed]


def alike(events: Iterable[Event]) -> list[list[Event]]:
    """Return *events* in groups of which each is one piece of news, the most urgent first, and then as they happened."""
    groups: dict[tuple[object, ...], list[Event]] = {}
    for event in events:
        groups.setdefault(_likeness(event), []).append(event)
    return sorted(groups.values(), key=lambda group: _URGENCY[group[0].urgency])


_URGENCY = {"error": 0, "warning": 1, "info": 2}


def _key(event: Event) -> tuple[object, ...]:
    """Return what a later event takes the place of."""
    if event.type in _CONDITIONS:
        return "condition", event.data.get("code"), event.subject
    if event.type is EventType.AVAILABLE:
        return event.type, event.subject
    return event.id, event.type, event.subject


def _named(event: Event) -> set[tuple[object, ...]]:
    """Return the failures that *event*, the summary of a rollout, names."""
    lines = event.data.get("updates", ()) if event.type.ends_a_rollout else ()
    return {(event.data.get("rollout"), line["host"], line["container"]) for line in lines if line.get("reason")}


def _said(event: Event) -> tuple[object, ...]:
    data = event.data
    return (data.get("rollout"), data.get("host"), data.get("container")) if event.type in _WENT_WRONG else ()


def _likeness(event: Event) -> tuple[object, ...]:
    """Return what events have in common that are told together."""
    data = event.data
    if event.type in OF_UPDATES:
        return event.type, data["image"], data["new_digest"], data.get("reason", ""), data["rollout"]
    if event.type in _CONDITIONS:
        return event.type, data.get("code"), event.severity
    return event.id, event.type, event.subject
