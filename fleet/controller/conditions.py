"""What a person should know now: a declared catalogue, and a pure look at the facts for each entry.

Only what can be told truthfully stands here. A condition that another one explains is not shown beside it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from fleet.controller import pulse
from fleet.history import hosts, queries, tags
from fleet.history.database import Database
from fleet.history.hosts import HostRow
from fleet.history.pages import PageRequest
from fleet.history.queries import OutcomeFilter, OutcomeRow
from fleet.history.tags import TagRow
from fleet.updates.outcome import Result

ROLLBACKS_SINCE = timedelta(days=30)
"""How far back a failed way back is still looked for, where nothing happened to the container since."""
SKEW = timedelta(minutes=5)
"""How far a host's clock may be off before it is told; it decides nothing, but logs would mislead."""
BEHIND = 10_000
"""Messages that may wait in the inbox before it counts as behind: five seconds of its work."""
_MOST = 200


class Severity(StrEnum):
    """How soon a person should look."""

    ERROR = "error"
    """Now: something is broken and stays so."""
    WARNING = "warning"
    """Today: something is not as it should be."""
    INFO = "info"
    """Some time: good to know."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that a look found."""

    subject: str
    """The host, image or process; the same as long as it is the same."""
    text: str
    since: datetime | None = None
    """None: not known."""


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


def _late(facts: Facts) -> Iterable[Found]:
    if facts.last_tick is not None:
        text = f"the planner last ticked at {facts.last_tick:%Y-%m-%d %H:%M:%S} UTC"
        yield Found(subject=CENTRE, text=text, since=facts.last_tick)


def _behind(facts: Facts) -> Iterable[Found]:
    if facts.inbox_waiting is not None and facts.inbox_waiting > BEHIND:
        yield Found(subject=CENTRE, text=f"{facts.inbox_waiting} messages of hosts wait to be read")


def _silent(facts: Facts) -> Iterable[Found]:
    for host in facts.hosts:
        if host.last_seen_at is not None:
            heard = host.last_seen_at
            text = f"{host.name} was last heard of at {heard:%Y-%m-%d %H:%M:%S} UTC"
            yield Found(subject=host.name, text=text, since=heard)


def _never_joined(facts: Facts) -> Iterable[Found]:
    for host in facts.hosts:
        if host.last_seen_at is None:
            yield Found(subject=host.name, text=f"{host.name} was never heard of", since=host.created_at)


def _twins(facts: Facts) -> Iterable[Found]:
    by_engine: dict[str, list[str]] = defaultdict(list)
    for host in facts.hosts:
        if host.engine_id:
            by_engine[host.engine_id].append(host.name)
    for engine, names in by_engine.items():
        if len(names) > 1:
            together = ", ".join(sorted(names))
            yield Found(subject=together, text=f"{together} report the same engine {engine[:20]}")


def _rollbacks(facts: Facts) -> Iterable[Found]:
    for row in facts.rollbacks_failed:
        text = f"{row.container} on {row.host}: {row.reason or 'the way back failed'}"
        yield Found(subject=f"{row.host}/{row.container}", text=text, since=row.recorded_at)


def _problems(facts: Facts) -> Iterable[Found]:
    for host in facts.hosts:
        for problem in host.problems:
            yield Found(subject=host.name, text=f"{host.name}: {problem}")


def _skewed(facts: Facts) -> Iterable[Found]:
    for host in facts.hosts:
        if host.skew_ms is not None and abs(host.skew_ms) > SKEW.total_seconds() * 1000:
            minutes = round(abs(host.skew_ms) / 60_000)
            way = "ahead" if host.skew_ms > 0 else "behind"
            yield Found(subject=host.name, text=f"the clock of {host.name} is {minutes} minutes {way}")


def _unresolved(facts: Facts) -> Iterable[Found]:
    for tag in facts.tags:
        if tag.reason:
            yield Found(subject=tag.image, text=f"{tag.image}: {tag.reason}", since=tag.resolved_at)


CATALOGUE: tuple[Kind, ...] = (
    Kind(
        code="scheduler-late",
        title="The scheduler does not run",
        severity=Severity.ERROR,
        look=_late,
        after=timedelta(minutes=1),
        remedy="look at the logs of planner and beat: fleet controller",
    ),
    Kind(
        code="inbox-behind",
        title="The inbox is behind",
        severity=Severity.ERROR,
        look=_behind,
        remedy="look at the log of the inbox, and for a host that floods it",
    ),
    Kind(
        code="rollback-failed",
        title="A way back failed",
        severity=Severity.ERROR,
        look=_rollbacks,
        remedy="look at the container on its host, then update it again",
    ),
    Kind(
        code="duplicate-engine",
        title="Two hosts share one engine",
        severity=Severity.ERROR,
        look=_twins,
        remedy="remove one with fleet host rm, or give a cloned machine an engine id of its own",
    ),
    Kind(
        code="host-silent",
        title="A host is silent",
        severity=Severity.WARNING,
        look=_silent,
        after=timedelta(minutes=20),
        depends=("inbox-behind",),
        remedy="is the machine up, its agent running, and the broker reachable from it?",
    ),
    Kind(
        code="host-never-joined",
        title="A host never joined",
        severity=Severity.INFO,
        look=_never_joined,
        after=timedelta(hours=1),
        depends=("inbox-behind",),
        remedy="start its agent with its join file: fleet agent --join FILE",
    ),
    Kind(
        code="host-problem",
        title="A host has a problem",
        severity=Severity.WARNING,
        look=_problems,
        depends=("host-silent",),
        remedy="see: fleet doctor",
    ),
    Kind(
        code="host-clock",
        title="A host's clock is off",
        severity=Severity.INFO,
        look=_skewed,
        depends=("host-silent",),
        remedy="let the host keep its time by NTP; nothing of Fleet depends on it",
    ),
    Kind(
        code="tag-unresolved",
        title="A tag cannot be checked",
        severity=Severity.WARNING,
        look=_unresolved,
        remedy="log in to the registry with docker login, or correct the image's name",
    ),
)
"""Every condition there is, the most urgent first."""


def judge(facts: Facts, catalogue: Iterable[Kind] = CATALOGUE) -> list[Condition]:
    """Return what holds now, in the catalogue's order."""
    shown: list[Condition] = []
    explained: dict[str, set[str]] = defaultdict(set)
    for kind in catalogue:
        for found in kind.look(facts):
            if found.since is not None and facts.now < found.since + kind.after:
                continue
            if any(explained[code] & {found.subject, CENTRE} for code in kind.depends):
                continue
            explained[kind.code].add(found.subject)
            shown.append(_condition(kind, found))
    return shown


def active(
    db: Database, *, state: Path | None = None, inbox_waiting: int | None = None, now: datetime | None = None
) -> list[Condition]:
    """Return what holds now; *state* and *inbox_waiting* tell of the centre's processes, where they are known."""
    now = now or db.now()
    return judge(
        Facts(
            now=now,
            hosts=hosts.hosts(db),
            tags=_followed_tags(db),
            rollbacks_failed=_standing_failures(db, now),
            last_tick=pulse.last(state) if state else None,
            inbox_waiting=inbox_waiting,
        )
    )


def _condition(kind: Kind, found: Found) -> Condition:
    return Condition(
        code=kind.code,
        title=kind.title,
        severity=kind.severity,
        subject=found.subject,
        text=found.text,
        remedy=kind.remedy,
        since=found.since,
    )


def _followed_tags(db: Database) -> list[TagRow]:
    known = tags.tags(db)
    return [known[image] for image in tags.followed(db) if image in known]


def _standing_failures(db: Database, now: datetime) -> list[OutcomeRow]:
    """Return the failed ways back after which nothing happened to the container."""
    wanted = OutcomeFilter(outcome=Result.ROLLBACK_FAILED, since=now - ROLLBACKS_SINCE)
    failed = queries.outcomes(db, wanted, PageRequest(limit=_MOST)).items
    return [row for row in failed if _newest(db, row) == row.id]


def _newest(db: Database, row: OutcomeRow) -> object:
    page = queries.outcomes(db, OutcomeFilter(host=row.host, container=row.container), PageRequest(limit=1))
    return page.items[0].id if page.items else None
