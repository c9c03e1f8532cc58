"""The form of a condition: what a catalogue's entry declares, what it looks at, what it finds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fleet.controller.home_pulse import HomePulse
from fleet.history.inventory.hosts import HostRow
from fleet.history.mirrors.liars import Liar
from fleet.history.mirrors.probes import ProbeRow
from fleet.history.notify.channels import ChannelRow
from fleet.history.questions.held import HeldRow
from fleet.history.questions.mirror_report import MirrorDay
from fleet.history.questions.queries import OutcomeRow
from fleet.history.registries.limits import LimitRow
from fleet.history.registries.tags import TagRow
from fleet.notify.severity import Severity as Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the conditions are judged by."""

    now: datetime
    hosts: Sequence[HostRow] = ()
    tags: Sequence[TagRow] = ()
    rollbacks_failed: Sequence[OutcomeRow] = ()
    """Failed ways back that nothing came after."""
    last_tick: datetime | None = None
    """None: not known here."""
    inbox_waiting: int | None = None
    """None: not known here."""
    probes: Sequence[ProbeRow] = ()
    """What each host found when it last looked at its mirrors."""
    limits: Sequence[LimitRow] = ()
    mirror_days: Sequence[MirrorDay] = ()
    """How the sources did yesterday and today."""
    liars: Sequence[Liar] = ()
    """The sources that gave wrong bytes lately."""
    held: Sequence[HeldRow] = ()
    """The rollouts that something holds."""
    channels: Sequence[ChannelRow] = ()
    """Where people are told."""
    home: HomePulse | None = None
    """How telling Home Assistant went last; None: nobody wants it told, or that is not known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that a look found."""

    subject: str
    """The host, image or process; the same as long as it is the same."""
    text: str
    since: datetime | None = None
    """None: not known."""
    remedy: str = ""
    """What to do about this one; empty: what its kind says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One entry of the catalogue."""

    code: str
    title: str
    severity: Severity
    look: Callable[[Facts], Iterable[Found]]
    after: timedelta = timedelta()
    """How long it must last before it is shown."""
    depends: tuple[str, ...] = ()
    """Codes that explain it: it is not shown beside one of these about the same subject, or about the centre."""
    remedy: str = ""
    """What to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One thing that a person should know now."""

    code: str
    title: str
    severity: Severity
    subject: str
    text: str
    remedy: str = ""
    since: datetime | None = None


CENTRE = "centre"
"""The subject of conditions that are not about one host or image."""
