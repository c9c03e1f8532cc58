"""Which events a channel gets (pure): by type or by the code of a condition, by severity, and by host, container and image."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from fleet.errors import BadInput
from fleet.notify.events import USUAL, Event, EventType
from fleet.notify.severity import Severity
from fleet.rollouts.selector import Selector, is_glob

FAILING = "channel-failing"
"""The code of the condition that a channel does not take what it is sent; that channel is not told of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """One container, host or image that an event is about; an empty part: none in particular."""

    host: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    container: str = ""
    image: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which events a channel, or whoever follows, is told of."""

    events: tuple[str, ...] = USUAL
    """Types of events or codes of conditions, as globs: ``update.*``, ``mirror-*``; one that fits is enough."""
    severity: Severity = Severity.INFO
    """The least urgent that it gets."""
    selector: Selector = field(default_factory=Selector)
    """Of what; empty: of everything."""

    @property
    def each_update(self) -> bool:
        """Whether it gets every update that went well, one by one."""
        fits = any(fnmatchcase(EventType.APPLIED, glob) for glob in self.events)
        return fits and Severity.INFO.at_least(self.severity)


def check(rule: Rule, codes: Iterable[str]) -> None:
    """Raise BadInput for a name that is neither a type of event nor one of the *codes* of conditions."""
    known = [*(kind.value for kind in EventType), *codes]
    for each in rule.events:
        if not any(fnmatchcase(name, each) for name in known):
            what = "fits no event" if is_glob(each) else "is no event"
            raise BadInput(f"cannot tell of {each[:60]!r}: it {what}; there are {', '.join(known)}")


def wants(rule: Rule, event: Event, about: Iterable[About], channel: str = "") -> bool:
    """Tell whether the channel of this *rule* and name gets *event*, which is *about* these.

    A test goes where it was asked for, whatever the rule.
    """
    code = str(event.data.get("code", ""))
    if code == FAILING and event.subject == channel:
        return False
    if not event.severity.at_least(rule.severity):
        return False
    if not any(fnmatchcase(name, glob) for glob in rule.events for name in (event.type.value, code) if name):
        return False
    return not rule.selector.document() or any(takes(rule.selector, each) for each in about)


def takes(selector: Selector, about: About) -> bool:
    """Tell whether *about* is meant: what the selector names must be known of it."""
    if (selector.hosts or selector.labels) and not (about.host and selector.takes_host(about.host, about.labels)):
        return False
    if not (selector.containers or selector.images):
        return True
    return bool(about.container or not selector.containers) and selector.takes_container(about.container, about.image)


def is_news(event: Event, *, to_people: bool) -> bool:
    """Tell whether *event* says what was not said before; programs, which count, hear of each failure however often."""
    if event.type is EventType.AVAILABLE:
        return event.data.get("new") != 0
    return not (to_people and event.data.get("repeated"))
