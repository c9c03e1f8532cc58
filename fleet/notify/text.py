"""An event in words (pure): a title, and a body that says host, container, the old digest and the new one, and the mirror."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleet.images.reference import Reference
from fleet.notify.digest import alike, condensed
from fleet.notify.events import Event, EventType
from fleet.notify.links import FIELD, LinkAct
from fleet.notify.severity import Severity

MOST_LINES = 20
"""How many updates the summary of a rollout names one by one; the rest is counted."""
MOST_TOLD = 30
"""How many events one message holds; the rest is counted."""
LONGEST_BODY = 6000
"""Characters: what most services take as one message."""
_SIGNS = {Severity.ERROR: "✖", Severity.WARNING: "⚠", Severity.INFO: "ℹ"}
_GOOD = "✔"
_GOOD_NEWS = (EventType.APPLIED, EventType.ROLLOUT_COMPLETED, EventType.CONDITION_ENDED, EventType.TEST)
_TITLES = {
    EventType.APPLIED: "updated",
    EventType.FAILED: "update failed",
    EventType.ROLLED_BACK: "update rolled back",
    EventType.AVAILABLE: "updates available",
    EventType.ROLLOUT_STARTED: "started",
    EventType.ROLLOUT_PAUSED: "paused",
    EventType.ROLLOUT_RESUMED: "resumed",
    EventType.APPROVAL_REQUESTED: "waits for approval",
    EventType.ROLLOUT_COMPLETED: "completed",
    EventType.ROLLOUT_ABORTED: "ended early",
    EventType.ROLLOUT_ROLLED_BACK: "rolled back",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a person reads."""

    title: str
    body: str
    severity: Severity


def message(events: Sequence[Event]) -> Message:
    """Return one message of *events*, oldest first; there is at least one."""
    left = condensed(events)
    worst = next(s for s in Severity if any(event.urgency is s for event in left))
    if len(left) == 1:
        (event,) = left
        return Message(title=_titled(event), body=_bounded(body(event)), severity=worst)
    groups = alike(left)
    told = [_together(group) for group in groups[:MOST_TOLD]]
    more = sum(map(len, groups[MOST_TOLD:]))
    told += [f"and {more} more: fleet history"] if more else []
    title = f"{_SIGNS[worst]} Fleet: {len(left)} events"
    return Message(title=title, body=_bounded("\n\n".join(told)), severity=worst)


def _together(group: Sequence[Event]) -> str:
    """Return events that are alike as one paragraph: what all have in common once, and whom it is about."""
    first = group[0]
    if len(group) == 1:
        return f"{_titled(first)}\n{body(first)}"
    data, count = first.data, len(group)
    names = ", ".join(event.subject for event in group[:MOST_LINES])
    names += f", and {count - MOST_LINES} more" if count > MOST_LINES else ""
    if "host" in data:
        what = f"{_familiar(data['image'])} {_short(data['new_digest'])}: {_TITLES[first.type]}, {count} containers"
        return _lines(f"{_sign(first)} {what}", names, data.get("reason", ""), f"rollout #{data['rollout']}")
    over = "over: " if first.type is EventType.CONDITION_ENDED else ""
    remedies = {event.data.get("remedy", "") for event in group}
    remedy = f"what to do: {remedies.pop()}" if len(remedies) == 1 and any(remedies) and not over else ""
    return _lines(f"{_sign(first)} {over}{data['title']}, {count} of them", names, remedy)


def title(event: Event) -> str:
    """Return what happened, in a line: ``web-1/shop: update failed``, ``rollout #42: completed``."""
    data = event.data
    match event.type:
        case EventType.APPLIED | EventType.FAILED | EventType.ROLLED_BACK:
            return f"{data['host']}/{data['container']}: {_TITLES[event.type]}"
        case EventType.AVAILABLE:
            some = data.get("new", data["containers"]) < data["containers"]
            new = f", {data['new']} of them new" if some else ""
            return f"{data['containers']} {_plural('container', data['containers'])} outdated{new}"
        case EventType.CONDITION_RAISED:
            return f"{data['title']}: {event.subject}"
        case EventType.CONDITION_ENDED:
            return f"over: {data['title']}: {event.subject}"
        case EventType.TEST:
            return "a test"
        case _:
            how = data["state"].replace("_", " ") if event.type in _ENDED else _TITLES[event.type]
            return f"rollout #{data['rollout']}: {how}"


_ENDED = (EventType.ROLLOUT_COMPLETED, EventType.ROLLOUT_ABORTED)


def body(event: Event) -> str:
    """Return the rest that there is to say, in lines."""
    data = event.data
    match event.type:
        case EventType.APPLIED | EventType.FAILED | EventType.ROLLED_BACK:
            return _lines(update(data), data.get("reason", ""), f"rollout #{data['rollout']}")
        case EventType.AVAILABLE:
            return _lines(*map(update, data["updates"]), _more(data), f"carry it out with: fleet apply {data['plan']}")
        case EventType.CONDITION_RAISED:
            return _lines(data["text"], _times(data), f"what to do: {data['remedy']}" if data.get("remedy") else "")
        case EventType.CONDITION_ENDED:
            until = f", until {data['ended_at']}" if data.get("ended_at") else ""
            return f"it held since {data['raised_at']}{until}"
        case EventType.TEST:
            return "This channel works."
        case _:
            return _rollout(data)


def _times(data: Mapping[str, Any]) -> str:
    if data.get("times", 1) == 1:
        return ""
    return f"it comes and goes: raised {data['times']} times of late, and said to be over once it is away for longer"


def _rollout(data: Mapping[str, Any]) -> str:
    states, results = _counted("hosts", data.get("hosts")), _counted("containers", data.get("results"))
    states += f"; yours, of {data['hosts_in_all']} in all" if data.get("hosts_in_all") else ""
    asks = f"answer it with: {data['command']}" if data.get("command") else ""
    lines = [_reasoned(each) for each in data.get("updates", ())]
    return _lines(data.get("reason", ""), states, results, *lines, _more(data), asks, *_links(data.get(FIELD)))


def _links(links: Mapping[str, str] | None) -> list[str]:
    """Return the links that answer, each in a line, and until when they do."""
    if not links:
        return []
    found = [f"{act.value}: {links[act.value]}" for act in LinkAct if links.get(act.value)]
    return [*found, f"each link works once, for whoever has it, until {links['until']}"]


def _reasoned(line: Mapping[str, Any]) -> str:
    return f"{update(line)}: {line['reason']}" if line.get("reason") else update(line)


def update(data: Mapping[str, Any]) -> str:
    """Return one update in a line: ``web-1/shop nginx:1.27  9f1c2d3e4f5a -> 41aa22bb33cc  by https://mirror.lan  failed``."""
    result = data.get("result", "").replace("_", " ")
    result += ", as before" if data.get("repeated") else ""
    parts = (
        f"{data['host']}/{data['container']} {_familiar(data['image'])}",
        f"{_short(data['old_digest'])} -> {_short(data['new_digest'])}",
        f"by {data['mirror']}" if data.get("mirror") else "",
        "new" if data.get("new") else "",
        result,
    )
    return "  ".join(part for part in parts if part)


def _counted(what: str, counts: Mapping[str, int] | None) -> str:
    """Return ``hosts: 24 succeeded, 1 failed``; empty where nothing was counted."""
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in (counts or {}).items())
    return f"{what}: {told}" if told else ""


def _more(data: Mapping[str, Any]) -> str:
    return f"and {data['more']} more" if data.get("more") else ""


def _familiar(image: str) -> str:
    return Reference.parse(image).familiar if image else "image unknown"


def _short(digest: str) -> str:
    return digest.partition(":")[2][:12] or "unknown"


def _titled(event: Event) -> str:
    return f"{_sign(event)} {title(event)}"


def _sign(event: Event) -> str:
    good = event.urgency is Severity.INFO and event.type in _GOOD_NEWS
    return _GOOD if good else _SIGNS[event.urgency]


def _lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line)


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _bounded(text: str) -> str:
    return text if len(text) <= LONGEST_BODY else f"{text[:LONGEST_BODY]}\n... more: fleet history"
