"""An example of each event (pure): what ``fleet notify preview`` shows."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from fleet.notify.events import Event, EventType
from fleet.notify.links import FIELD, SECRET_PREFIX, LinkAct, Links, url_of
from fleet.notify.severity import Severity

_OLD, _NEW = f"sha256:{'9f1c2d3e' * 8}", f"sha256:{'41aa22bb' * 8}"
_LINE: Mapping[str, Any] = {
    "host": "web-1",
    "container": "shop",
    "image": "docker.io/library/nginx:1.27",
    "old_digest": _OLD,
    "new_digest": _NEW,
    "mirror": "https://mirror.example",
}
_UNHEALTHY = "cannot keep the new container: it was unhealthy after 60 s"
_FAILED = {**_LINE, "result": "rolled_back", "reason": _UNHEALTHY}
_UPDATED = {**_LINE, "host": "web-2", "result": "updated"}
_MIRROR = {
    "code": "mirror-down",
    "title": "A mirror does not answer",
    "text": "https://mirror.example: from web-1 and 3 more: connection refused",
    "remedy": "look at it from the host: fleet mirror test web-1",
}
_SUMMARY = {
    "hosts": {"failed": 1, "succeeded": 24},
    "results": {"rolled_back": 1, "updated": 24},
    "updates": [_FAILED, _UPDATED],
    "more": 23,
}
_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_LINKS = Links(
    urls={act: url_of("https://fleet.example", UUID(int=0), f"{SECRET_PREFIX}...") for act in LinkAct},
    until=_AT + timedelta(days=1),
)
_SHOW = {"command": "fleet rollout show 42"}
_SAID: dict[EventType, tuple[Severity, str, Mapping[str, Any]]] = {
    EventType.APPLIED: (Severity.INFO, "web-2/shop", {**_UPDATED, "reason": "", "rollout": 42, "downtime_ms": 700}),
    EventType.FAILED: (
        Severity.ERROR,
        "web-1/shop",
        {**_LINE, "result": "failed", "reason": "cannot pull: no source has the manifest", "rollout": 42},
    ),
    EventType.ROLLED_BACK: (
        Severity.WARNING,
        "web-1/shop",
        {**_FAILED, "rollout": 42, "downtime_ms": 2100},
    ),
    EventType.AVAILABLE: (
        Severity.INFO,
        "schedule/nightly",
        {"plan": "a1b2c3d4", "containers": 25, "hosts": 25, "new": 25, "updates": [dict(_LINE)], "more": 24},
    ),
    EventType.ROLLOUT_STARTED: (Severity.INFO, "rollout/42", {"rollout": 42}),
    EventType.ROLLOUT_PAUSED: (
        Severity.ERROR,
        "rollout/42",
        {"rollout": 42, "hold": "gate_failed", "reason": "wave 1 failed: 2 of 10 hosts", **_SHOW},
    ),
    EventType.ROLLOUT_RESUMED: (Severity.INFO, "rollout/42", {"rollout": 42, "hold": "gate_failed"}),
    EventType.APPROVAL_REQUESTED: (
        Severity.WARNING,
        "rollout/42",
        {
            "rollout": 42,
            "hold": "approval",
            "wave": 2,
            "reason": "wave 2 waits for approval; give it with: fleet approve",
            "command": "fleet approve 42",
        },
    ),
    EventType.ROLLOUT_COMPLETED: (
        Severity.ERROR,
        "rollout/42",
        {"rollout": 42, "state": "completed_with_failures", **_SUMMARY, **_SHOW},
    ),
    EventType.ROLLOUT_ABORTED: (
        Severity.WARNING,
        "rollout/42",
        {"rollout": 42, "state": "aborted", **_SUMMARY, **_SHOW},
    ),
    EventType.ROLLOUT_ROLLED_BACK: (
        Severity.WARNING,
        "rollout/42",
        {"rollout": 42, "state": "rolled_back", **_SUMMARY, **_SHOW},
    ),
    EventType.CONDITION_RAISED: (Severity.WARNING, "https://mirror.example", _MIRROR),
    EventType.CONDITION_ENDED: (
        Severity.WARNING,
        "https://mirror.example",
        {**_MIRROR, "raised_at": "2026-01-02T03:04:05Z", "ended_at": "2026-01-02T03:24:05Z"},
    ),
    EventType.TEST: (Severity.INFO, "ops", {"channel": "ops"}),
}


def examples(*, links: bool = False) -> list[Event]:
    """Return an example of each type of event; with *links*: as a channel gets it that may have them. They lead nowhere."""
    return [
        Event(id=UUID(int=0), type=type, severity=severity, subject=subject, at=_AT, data=_with(data, type, links))
        for type, (severity, subject, data) in _SAID.items()
    ]


def _with(data: Mapping[str, Any], type: EventType, links: bool) -> Mapping[str, Any]:
    return {**data, FIELD: _LINKS.document()} if links and type is EventType.APPROVAL_REQUESTED else data
