"""What a template may say (pure): each field with what it is, and an event or a message as its fields.

Every field is there for every event, empty where it says nothing of it, so that a template need not ask first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fleet.notify import links
from fleet.notify.digest import condensed
from fleet.notify.events import Event, EventType
from fleet.notify.text import body, message, title
from fleet.rollouts.states import HostState
from fleet.updates.outcome import Result

OF_MESSAGES: Mapping[str, str] = {
    "title": "the title as it is without a template",
    "body": "the text as it is without a template",
    "severity": "of the most urgent event: `error`, `warning` or `info`",
    "channel": "the name of the channel",
    "count": "how many events the message tells of",
    "events": "these events, oldest first, each with the fields below",
}
"""The fields of a message."""

OF_EVENTS: Mapping[str, tuple[Any, str]] = {
    "type": ("", "`update.failed`, `rollout.completed`, ..."),
    "severity": ("", "`error`, `warning` or `info`"),
    "subject": ("", "what it is about: `web-1/shop`, `rollout/42`, a mirror"),
    "time": ("", "when it happened, RFC 3339, UTC"),
    "title": ("", "what happened, in a line"),
    "body": ("", "the rest that there is to say, in lines"),
    "host": ("", "of an update: where"),
    "container": ("", "of an update: which container"),
    "image": ("", "of an update: `docker.io/library/nginx:1.27`"),
    "old_digest": ("", "of an update: what ran before"),
    "new_digest": ("", "of an update: what was to run"),
    "mirror": ("", "of an update: which mirror served it"),
    "result": ("", "of an update: `updated`, `failed`, `rolled_back`, ..."),
    "reason": ("", "why an update failed, or a rollout is paused"),
    "repeated": (False, "of an update that failed: whether it failed so before"),
    "downtime_ms": (0, "of an update: for how long nothing ran, milliseconds"),
    "rollout": (0, "the number of the rollout; 0: none"),
    "state": ("", "how a rollout ended: `completed`, `completed_with_failures`, ..."),
    "hold": ("", "what holds a rollout: `gate_failed`, `approval`, ..."),
    "wave": (0, "of a rollout that waits for approval: for which wave, from 1; 0: none"),
    "command": ("", "the command that answers"),
    "links": (
        {},
        "of a rollout that waits for approval, where the channel has links: `links.approve`, `links.abort`, and"
        " `links.until` when they end; else empty",
    ),
    "hosts": ({}, "how many hosts are in which state: `hosts.failed`; of what is outdated: `hosts.outdated`"),
    "hosts_in_all": (0, "of a rollout of which the channel chose a part: how many hosts it has"),
    "results": ({}, "of a rollout: how many containers came to what: `results.updated`"),
    "updates": (
        [],
        "of a rollout, or what is outdated: the first containers, each with the fields of an update, and `new`",
    ),
    "more": (0, "how many containers are not among them"),
    "containers": (0, "how many containers are outdated"),
    "new": (0, "how many of these were not the last time; of one of `updates`: whether it was not"),
    "plan": ("", "the plan that brings what is outdated up to date"),
    "code": ("", "of a condition: `mirror-down`, `host-silent`, ..."),
    "text": ("", "of a condition: what was found"),
    "remedy": ("", "of a condition: what to do about it"),
    "since": ("", "of a condition: since when it is known to hold"),
    "raised_at": ("", "of a condition: when it was told that it began"),
    "ended_at": ("", "of a condition that is over: since when"),
    "times": (0, "of a condition that comes and goes: how often it came"),
}
"""The fields of an event: what is there where it says nothing of it, and what it is."""

_OF_LINES = (
    "host", "container", "image", "old_digest", "new_digest", "mirror", "result", "reason", "repeated", "new"
)  # fmt: skip


_HOSTS: Mapping[str, int] = {**{state.value: 0 for state in HostState}, "outdated": 0}
_RESULTS: Mapping[str, int] = {result.value: 0 for result in Result}
"""What may be counted is there, so that a template may name it whether there was any or not."""


def of_message(events: Sequence[Event], channel: str) -> dict[str, Any]:
    """Return a message of *events* as its fields, in values that JSON knows."""
    plain, left = message(events), condensed(events)
    return {
        "title": plain.title,
        "body": plain.body,
        "severity": plain.severity.value,
        "channel": channel,
        "count": len(left),
        "events": [of_event(each) for each in left],
    }


def of_event(event: Event) -> dict[str, Any]:
    """Return an event as its fields."""
    told = dict(event.data)
    counted = {"outdated": told["hosts"]} if event.type is EventType.AVAILABLE else told.get("hosts", {})
    told["hosts"] = {**_HOSTS, **counted}
    told["results"] = {**_RESULTS, **told.get("results", {})}
    told[links.FIELD] = {**links.EMPTY, **told.get(links.FIELD, {})}
    told["updates"] = [
        {part: line.get(part, OF_EVENTS[part][0]) for part in _OF_LINES} for line in told.get("updates", ())
    ]
    told |= {
        "type": event.type.value,
        "severity": event.severity.value,
        "subject": event.subject,
        "time": event.document("")["time"],
        "title": title(event),
        "body": body(event),
    }
    return {field: told.get(field, empty) for field, (empty, _) in OF_EVENTS.items()}
