"""The check: each tag that containers follow is asked for once for the whole fleet; where the centre is refused, one
host that runs the image asks with its own credentials.
"""

import logging
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from fleet.clock import Clock, SystemClock
from fleet.controller.resolving import Asking, TagAnswer, Verdict, ask_registries
from fleet.controller.resolving_mirrors import ask_mirrors
from fleet.errors import NotFound
from fleet.history.mirrors import probes
from fleet.history.registries import limits, pushes, tags
from fleet.history.registries.tags import TagRow
from fleet.history.rules import policies
from fleet.history.sql.database import Database
from fleet.registry.credentials import DockerConfig, default_path
from fleet.settings.centre import CheckSettings

log = logging.getLogger(__name__)

LEASE_S = 300
"""How long others are kept away from tags that are being asked for; more than a slow round takes."""
PROBE_EVERY = timedelta(hours=6)
"""How often each host looks at its mirrors: as often as tags are asked for."""
_JITTER = 0.1
"""The part of the interval by which tags come before their time, each by its own, so that they spread out."""
_LOOK_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of resolving the tags that containers follow; images are named canonically."""

    resolved: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    """Those of *resolved* whose digest is another one than before."""
    asked_hosts: tuple[str, ...] = ()
    """Images that a host was asked for; its answer comes by the inbox."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Image to reason."""

    def __bool__(self) -> bool:
        """Tell whether anybody was asked anything."""
        return bool(self.resolved or self.asked_hosts or self.failed)

    def __str__(self) -> str:
        """Return it in a line for people."""
        count = len(self.resolved)
        parts = [f"{count} {'tag' if count == 1 else 'tags'} checked", f"{len(self.moved)} moved"]
        parts += [f"{len(self.asked_hosts)} asked of hosts"] if self.asked_hosts else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        return ", ".join(parts)


def asking_of(settings: CheckSettings) -> Asking:
    """Return how the centre asks registries.

    Docker's configuration is read when it is first needed, and a broken one is told then: most images are public.
    """
    folder = settings.docker_config
    credentials = DockerConfig(Path(folder) / "config.json" if folder else default_path())
    return Asking(credentials=credentials, insecure=settings.insecure, parallel=settings.parallel)


def check(
    db: Database,
    images: Iterable[str] | None = None,
    *,
    asking: Asking,
    wait_s: float = 0.0,
    clock: Clock | None = None,
) -> Checked:
    """Ask for *images* (None: all that running containers follow), write down the answers, and return them.

    Images that somebody else asks for at this moment are left to them. With *wait_s* their answers, and those of hosts
    that were asked, are waited for.
    """
    clock = clock or SystemClock()
    wanted = tags.followed(db) if images is None else sorted({image for image in images if image})
    before = tags.tags(db)
    mine = tags.lease(db, wanted, db.now(), LEASE_S)
    answers = _answers(db, mine, asking)
    asked = [answer.image for answer in answers if _write_down(db, answer)]
    pending = _Pending(db, {*asked, *(set(wanted) - set(mine))}, before, asked)
    pending.wait(wait_s, clock)
    return _told(wanted, before, tags.tags(db), pending.left)


def check_due(db: Database, *, asking: Asking, interval_s: float, clock: Clock | None = None) -> Checked:
    """Ask for those followed tags that were not asked for within *interval_s*, less a jitter of their own."""
    probe_due(db)
    known = tags.tags(db)
    now = db.now()
    due = [image for image in tags.followed(db) if is_due(image, known.get(image), now, interval_s)]
    return check(db, due, asking=asking, clock=clock) if due else Checked()


def check_pushed(db: Database, *, asking: Asking, clock: Clock | None = None) -> Checked:
    """Ask for those tags of which a push was heard, a few seconds after the first word of it and once for all that follow."""
    due = pushes.take_due(db)
    return check(db, due, asking=asking, clock=clock) if due else Checked()


def probe_due(db: Database) -> int:
    """Ask those live hosts to look at their mirrors that were not asked lately; return how many."""
    due = probes.due_hosts(db, PROBE_EVERY)
    return len(probes.ask_probes(db, due, by=probes.SCHEDULE)) if due else 0


def is_due(image: str, tag: TagRow | None, now: datetime, interval_s: float) -> bool:
    """Tell whether it is time to ask for *image* again."""
    if tag is None or tag.checked_at is None:
        return True
    if tag.leased_until is not None and tag.leased_until <= now:
        return True  # whoever began to ask for it did not live to end it
    early = (zlib.crc32(image.encode()) % 1000) / 1000 * _JITTER
    return now >= tag.checked_at + timedelta(seconds=interval_s * (1 - early))


def _answers(db: Database, images: Collection[str], asking: Asking) -> list[TagAnswer]:
    """Return what the origins say, and where one cannot be asked, what mirrors say that the policy believes."""
    answers = ask_registries(images, asking)
    for endpoint, limit in {a.endpoint: a.limit for a in answers if a.limit}.items():
        limits.record_limit(db, endpoint, limit.limit, limit.remaining, limit.window_s, limit.source)
    away = [answer.image for answer in answers if answer.verdict is Verdict.NOT_OURS]
    if not away:
        return answers
    resolve, rules = policies.resolving(db)
    instead = ask_mirrors(away, rules, resolve, asking)
    return [instead.get(answer.image, answer) for answer in answers]


def _write_down(db: Database, answer: TagAnswer) -> bool:
    """Write one answer down; return whether a host is asked instead."""
    if answer.verdict is Verdict.RESOLVED:
        tags.record_resolved(db, answer.image, answer.digest, answer.endpoint)
        return False
    tags.record_failed(db, answer.image, answer.reason)
    log.warning("tag cannot be checked", extra={"image": answer.image, "reason": answer.reason})
    if answer.verdict is not Verdict.NOT_OURS:
        return False
    try:
        tags.ask_host(db, answer.image)
    except NotFound:
        return False
    return True


class _Pending:
    """Images whose answer comes from somebody else."""

    def __init__(
        self, db: Database, images: Collection[str], before: Mapping[str, TagRow], asked: Collection[str]
    ) -> None:
        self._db = db
        now = tags.tags(db)
        # What a host answers comes after the failure that was written down here; what another asks, after all.
        self._seen = {image: _checked_at(now if image in asked else before, image) for image in images}
        self.left = set(asked)

    def wait(self, seconds: float, clock: Clock) -> None:
        """Wait until every answer is there, at most *seconds*."""
        deadline = clock.monotonic() + seconds
        while self._seen and clock.monotonic() < deadline:
            known = tags.tags(self._db)
            for image in [i for i, seen in self._seen.items() if _checked_at(known, i) != seen]:
                del self._seen[image]
                self.left.discard(image)
            if self._seen:
                clock.sleep(_LOOK_S)


def _checked_at(known: Mapping[str, TagRow], image: str) -> datetime | None:
    return known[image].checked_at if image in known else None


def _told(
    wanted: Iterable[str], before: Mapping[str, TagRow], after: Mapping[str, TagRow], asked: Collection[str]
) -> Checked:
    rows = {image: after[image] for image in wanted if image in after and image not in asked}
    good = tuple(image for image, row in rows.items() if row.digest and not row.reason)
    moved = tuple(i for i in good if i in before and before[i].digest not in ("", rows[i].digest))
    failed = {image: row.reason for image, row in rows.items() if row.reason}
    return Checked(resolved=good, moved=moved, asked_hosts=tuple(sorted(asked)), failed=failed)
