"""Stops: what people said shall not be updated for now, and whom each is about."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from fleet.errors import BadInput
from fleet.rollouts.selector import Selector


class StopKind(StrEnum):
    """What a stop is about, and until when it holds."""

    FREEZE = "freeze"
    """Hosts: no container of them is touched."""
    HOLD = "hold"
    """Containers: they stay as they are until the hold is lifted."""
    SNOOZE = "snooze"
    """Containers, until a certain time."""
    SKIP = "skip"
    """One digest, wherever it would come; the next one is welcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One thing that a person said shall not be updated for now."""

    id: UUID
    kind: StopKind
    selector: Selector
    digest: str = ""
    """The digest that is not wanted; empty but for a skip."""
    reason: str = ""
    created_by: str = ""
    begins_at: datetime
    ends_at: datetime | None = None
    """None: until it is lifted."""

    def holds_at(self, now: datetime) -> bool:
        """Tell whether it holds at *now*; its end is not part of it."""
        return self.begins_at <= now and (self.ends_at is None or now < self.ends_at)

    def freezes(self, host: str, labels: Mapping[str, str]) -> bool:
        """Tell whether nothing on this host is to be touched."""
        return self.kind is StopKind.FREEZE and self.selector.takes_host(host, labels)

    def keeps(self, host: str, labels: Mapping[str, str], container: str, image: str, digest: str) -> bool:
        """Tell whether this container is not to be brought to *digest*; *image* is the canonical one it follows."""
        if self.kind is StopKind.FREEZE or (self.digest and self.digest != digest):
            return False
        return self.selector.takes_host(host, labels) and self.selector.takes_container(container, image)

    @property
    def words(self) -> str:
        """Say it for people: ``frozen until 2026-12-01 06:00 UTC by person:anna: Black Friday``."""
        done = {StopKind.FREEZE: "frozen", StopKind.SKIP: "skipped", StopKind.SNOOZE: "snoozed"}.get(self.kind, "held")
        until = f" until {self.ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if self.ends_at else ""
        return f"{done}{until} by {self.created_by}" + (f": {self.reason}" if self.reason else "")


def freezing(stops: Iterable[Stop], host: str, labels: Mapping[str, str]) -> Stop | None:
    """Return the freeze that this host is under, None: none."""
    return next((stop for stop in stops if stop.freezes(host, labels)), None)


def keeping(
    stops: Iterable[Stop], host: str, labels: Mapping[str, str], container: str, image: str, digest: str
) -> Stop | None:
    """Return what keeps this container from *digest*, a freeze of its host aside; None: nothing."""
    return next((stop for stop in stops if stop.keeps(host, labels, container, image, digest)), None)


def check_stop(kind: StopKind, selector: Selector, digest: str, ends_at: datetime | None, now: datetime) -> None:
    """Raise BadInput for a stop that would mean nothing, or more than was meant."""
    if ends_at is not None and ends_at <= now:
        raise BadInput(f"cannot end that at {ends_at:%Y-%m-%d %H:%M:%S} UTC: it is over already; give a later time")
    if kind is StopKind.FREEZE and (selector.containers or selector.images):
        raise BadInput("cannot freeze containers or images: a freeze is about hosts; use fleet hold for those")
    if kind in (StopKind.HOLD, StopKind.SNOOZE) and not (selector.containers or selector.images):
        raise BadInput(f"cannot {kind} whole hosts: name a container or an image, or use fleet freeze")
    if kind is StopKind.SNOOZE and ends_at is None:
        raise BadInput("cannot snooze without an end; give one, or use fleet hold")
    if kind is StopKind.SKIP and not (digest and selector.images):
        raise BadInput("cannot skip without an image and a digest; name it as nginx:1.27@sha256:...")
    if kind is not StopKind.SKIP and digest:
        raise BadInput(f"cannot {kind} a digest; use fleet skip for that")
    if any("[" in glob for glob in (*selector.hosts, *selector.labels.values())):
        raise BadInput("cannot use [...] in the hosts or labels of a stop; use * and ?")
