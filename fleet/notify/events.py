"""What happened and people are told of (pure): the closed set of types, and an event as CloudEvents 1.0 have it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from fleet.notify.severity import Severity
from fleet.rollouts.states import Hold, RolloutState
from fleet.updates.outcome import Result

PREFIX = "fleet."
"""What the type of a CloudEvent begins with."""


class EventType(StrEnum):
    """What happened."""

    APPLIED = "update.applied"
    """A container runs the new digest."""
    FAILED = "update.failed"
    """An update went wrong; where the way back failed too, the container may be down."""
    ROLLED_BACK = "update.rolled_back"
    """An update went wrong, and the old container runs again."""
    AVAILABLE = "update.available"
    """A schedule that tells found containers that are outdated."""
    ROLLOUT_STARTED = "rollout.started"
    """The first hosts of a rollout have their turn."""
    ROLLOUT_PAUSED = "rollout.paused"
    """A rollout sends nothing new, for a reason that a person should see."""
    ROLLOUT_RESUMED = "rollout.resumed"
    """One such reason is gone."""
    APPROVAL_REQUESTED = "rollout.approval_requested"
    """The next wave waits for a person."""
    ROLLOUT_COMPLETED = "rollout.completed"
    """Every host of a rollout ended; the summary of the run."""
    ROLLOUT_ABORTED = "rollout.aborted"
    """A rollout ended before that: stopped, out of time, or superseded; the summary so far."""
    ROLLOUT_ROLLED_BACK = "rollout.rolled_back"
    """A rollout was taken back as a whole."""
    CONDITION_RAISED = "condition.raised"
    """A condition of the catalogue began to hold: a mirror that is down, a silent host."""
    CONDITION_ENDED = "condition.ended"
    """It holds no more."""
    TEST = "channel.test"
    """A person asked whether a channel works."""

    @property
    def ends_a_rollout(self) -> bool:
        """Whether it comes with the summary of a rollout."""
        return self in (self.ROLLOUT_COMPLETED, self.ROLLOUT_ABORTED, self.ROLLOUT_ROLLED_BACK)


USUAL = tuple(
    kind.value
    for kind in EventType
    if kind not in (EventType.APPLIED, EventType.ROLLOUT_STARTED, EventType.ROLLOUT_RESUMED, EventType.TEST)
)
"""What a channel gets where nobody says: failures at once, and successes in the summary of their rollout alone."""

OF_UPDATES = (EventType.APPLIED, EventType.FAILED, EventType.ROLLED_BACK)
"""What is told of one container."""

_UPDATES = {
    Result.UPDATED: (EventType.APPLIED, Severity.INFO),
    Result.FAILED: (EventType.FAILED, Severity.ERROR),
    Result.ABANDONED: (EventType.FAILED, Severity.ERROR),
    Result.ROLLBACK_FAILED: (EventType.FAILED, Severity.ERROR),
    Result.ROLLED_BACK: (EventType.ROLLED_BACK, Severity.WARNING),
}
_ENDS = {
    RolloutState.COMPLETED: (EventType.ROLLOUT_COMPLETED, Severity.INFO),
    RolloutState.COMPLETED_WITH_FAILURES: (EventType.ROLLOUT_COMPLETED, Severity.ERROR),
    RolloutState.ROLLED_BACK: (EventType.ROLLOUT_ROLLED_BACK, Severity.WARNING),
    RolloutState.ABORTED: (EventType.ROLLOUT_ABORTED, Severity.WARNING),
    RolloutState.EXPIRED: (EventType.ROLLOUT_ABORTED, Severity.WARNING),
    RolloutState.SUPERSEDED: (EventType.ROLLOUT_ABORTED, Severity.INFO),
}
_UNTOLD_HOLDS = (Hold.SUPERSEDED,)
"""Holds that go away by themselves, or end the rollout, which is told then."""


def of_update(result: Result) -> tuple[EventType, Severity] | None:
    """Return what is told of an update that ended so; None: nothing, since nothing was touched and nothing is wrong."""
    return _UPDATES.get(result)


def of_rollout(kind: str, details: Mapping[str, Any]) -> tuple[EventType, Severity] | None:
    """Return what is told of a row of ``rollout_events``; None: nothing."""
    match kind:
        case "began":
            return EventType.ROLLOUT_STARTED, Severity.INFO
        case "held" | "released":
            return _of_hold(kind, Hold(details["hold"]))
        case "ended":
            return _ENDS.get(RolloutState(details["state"]))
        case _:
            return None


def _of_hold(kind: str, hold: Hold) -> tuple[EventType, Severity] | None:
    if hold in _UNTOLD_HOLDS:
        return None
    if kind == "released":
        return EventType.ROLLOUT_RESUMED, Severity.INFO
    if hold is Hold.APPROVAL:
        return EventType.APPROVAL_REQUESTED, Severity.WARNING
    return EventType.ROLLOUT_PAUSED, Severity.INFO if hold is Hold.USER else Severity.ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened, whole: as every channel is told of it, and again where it is told twice."""

    id: UUID
    """The same whenever and wherever it is told."""
    type: EventType
    severity: Severity
    subject: str
    """What it is about: ``HOST/CONTAINER``, ``rollout/42``, the subject of a condition."""
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def urgency(self) -> Severity:
        """How soon a person should look at it: that something urgent is over is not urgent."""
        return Severity.INFO if self.type is EventType.CONDITION_ENDED else self.severity

    def document(self, source: str) -> dict[str, Any]:
        """Return it as a CloudEvent in JSON; *source* names this installation, as a URI reference."""
        return {
            "specversion": "1.0",
            "id": str(self.id),
            "source": source,
            "type": f"{PREFIX}{self.type.value}",
            "subject": self.subject,
            "time": self.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "severity": self.severity.value,
            "data": dict(self.data),
        }


def read(document: Mapping[str, Any]) -> Event:
    """Return the event that :meth:`Event.document` wrote."""
    return Event(
        id=UUID(document["id"]),
        type=EventType(document["type"].removeprefix(PREFIX)),
        severity=Severity(document["severity"]),
        subject=document["subject"],
        at=datetime.fromisoformat(document["time"]),
        data=document["data"],
    )
