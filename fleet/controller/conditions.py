"""What a person should know now: the declared catalogue, held against the facts.

Only what can be told truthfully stands here. A condition that another one explains is not shown beside it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from fleet.controller import home_pulse, pulse
from fleet.controller.condition import CENTRE, Condition, Facts, Found, Kind
from fleet.controller.condition_catalogue import CATALOGUE
from fleet.controller.condition_looks import SKEW
from fleet.history.mirrors.liars import liars
from fleet.history.mirrors.probes import bad_probes, seen_certificates
from fleet.history.notify import channels
from fleet.history.notify.notable import notable_hosts, troubled_tags
from fleet.history.questions import queries
from fleet.history.questions.held import held_rollouts
from fleet.history.questions.mirror_report import mirror_report
from fleet.history.questions.queries import OutcomeFilter, OutcomeRow
from fleet.history.registries import limits
from fleet.history.sql.database import Database
from fleet.history.sql.pages import PageRequest
from fleet.rollouts.silence import SILENT_AFTER
from fleet.updates.outcome import Result

ROLLBACKS_SINCE = timedelta(days=30)
"""How far back a failed way back is still looked for, where nothing happened to the container since."""
_MOST = 200


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
            hosts=notable_hosts(db, now, unheard=SILENT_AFTER, skew=SKEW),
            tags=troubled_tags(db),
            rollbacks_failed=_standing_failures(db, now),
            last_tick=pulse.last(state) if state else None,
            inbox_waiting=inbox_waiting,
            # The newest at the end: it says until when a certificate holds.
            probes=[*bad_probes(db), *seen_certificates(db)],
            limits=limits.limits(db),
            liars=liars(db, now),
            held=held_rollouts(db),
            channels=channels.channels(db),
            home=home_pulse.last(state) if state else None,
            mirror_days=mirror_report(db, now - timedelta(days=1)).days,
        )
    )


_OF_PROCESSES = ("scheduler-late", "inbox-behind", "home-untold")
"""What whoever looks from within the planner cannot see."""


def subjects_of(found: Iterable[Condition], catalogue: Iterable[Kind] = CATALOGUE) -> dict[str, int]:
    """Return of how many subjects each condition that the planner can see holds, by its code; 0 where it does not."""
    held = Counter(condition.code for condition in found)
    return {kind.code: held[kind.code] for kind in catalogue if kind.code not in _OF_PROCESSES}


def _condition(kind: Kind, found: Found) -> Condition:
    return Condition(
        code=kind.code,
        title=kind.title,
        severity=kind.severity,
        subject=found.subject,
        text=found.text,
        remedy=found.remedy or kind.remedy,
        since=found.since,
    )


def _standing_failures(db: Database, now: datetime) -> list[OutcomeRow]:
    """Return the failed ways back after which nothing happened to the container."""
    wanted = OutcomeFilter(outcome=Result.ROLLBACK_FAILED, since=now - ROLLBACKS_SINCE)
    failed = queries.outcomes(db, wanted, PageRequest(limit=_MOST)).items
    return [row for row in failed if _newest(db, row) == row.id]


def _newest(db: Database, row: OutcomeRow) -> object:
    page = queries.outcomes(db, OutcomeFilter(host=row.host, container=row.container), PageRequest(limit=1))
    return page.items[0].id if page.items else None
