"""What the history answers beyond single outcomes is what the rows say."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update

from fleet.errors import BadInput
from fleet.history.questions import days
from fleet.history.questions.changes import chain, change_of, changes
from fleet.history.questions.durations import compared, durations, percentile
from fleet.history.questions.language import Query
from fleet.history.questions.language_parse import parse
from fleet.history.questions.language_times import Ago
from fleet.history.questions.mirror_report import mirror_report
from fleet.history.questions.outcome_filter import OutcomeFilter
from fleet.history.questions.queries import outcomes
from fleet.history.questions.who_runs import RunsRow, who_runs
from fleet.history.sql.database import Database
from fleet.history.sql.pages import PageRequest
from fleet.history.tables.facts import FAILURES, attempts, pulls, updates
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.source import Role
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.facts import MIRRORS, write_facts
from tests.history.world import GOOD_MIRROR, World, container, digest_of, open_world, rows, snapshot

FIRST = PageRequest(limit=100)


@pytest.fixture
def updated(world: World) -> World:
    """Two hosts: one was updated and told so, the other rolled back."""
    for name in ("web-1", "web-2"):
        world.add_host(name, container("app"), container("side_car"))
    for agent in world.agents.values():
        agent.result = Result.ROLLED_BACK if agent.name == "web-2" else Result.UPDATED
    world.rollout(version="new")
    world.run(12)
    return world


def test_who_runs_a_digest_since_when_and_through_which_mirror(updated: World) -> None:
    agent = next(agent for agent in updated.agents.values() if agent.name == "web-1")
    (row, *_) = [each for each in rows(updated.db, updates) if each["result"] == Result.UPDATED]
    with updated.db.writing() as connection:
        made = container("app", version="new")
        connection.execute(
            updates.update().where(updates.c.container == "app", updates.c.host_id == agent.id),
            {"new_container_id": made.id},
        )
    updated.take(agent, snapshot(made, container("side_car")))
    (runs,) = who_runs(updated.db, digest_of("nginx:1.27 new")).items
    assert (runs.host, runs.container, runs.mirror) == ("web-1", "app", GOOD_MIRROR)
    assert runs.since == row["recorded_at"]
    assert runs.digest == digest_of("nginx:1.27 new")
    short = digest_of("nginx:1.27 old").removeprefix("sha256:")[:12]
    old = who_runs(updated.db, short).items
    assert {(each.host, each.container) for each in old} == {
        ("web-1", "side_car"),
        ("web-2", "app"),
        ("web-2", "side_car"),
    }
    assert all(each.since is None and each.digest == digest_of("nginx:1.27 old") for each in old)
    assert len(who_runs(updated.db, "nginx").items) == 4 == len(who_runs(updated.db, "nginx:1.27").items)
    assert who_runs(updated.db, "nginx:1.2").items == () == who_runs(updated.db, "redis").items


@pytest.mark.postgresql
def test_who_runs_an_image_is_told_whatever_the_collation_of_the_database(pg: Database, tmp_path: Path) -> None:
    """Servers are mostly made with a language's own order, in which a semicolon comes before a colon."""
    with pg.writing() as connection:
        for name in ("image", "id"):
            connection.execute(text(f'ALTER TABLE containers ALTER {name} TYPE text COLLATE "en-x-icu"'))
    with ExitStack() as stack:
        world = open_world(pg, tmp_path, stack)
        world.add_host("web-1", container("app"), container("extra", "nginx-extra:1"), container("x", "nginxx:1"))
        assert [row.container for row in who_runs(pg, "nginx").items] == ["app"]


def test_those_who_run_come_in_pages(updated: World) -> None:
    whole = who_runs(updated.db, "nginx").items
    seen: list[RunsRow] = []
    cursor = ""
    while True:
        page = who_runs(updated.db, "nginx", PageRequest(limit=1, cursor=cursor))
        seen += page.items
        cursor = page.next
        if not cursor:
            break
    assert tuple(seen) == whole
    with pytest.raises(BadInput, match="as a cursor"):
        who_runs(updated.db, "nginx", PageRequest(cursor="x"))


def test_what_changed_on_a_host_is_told_by_container(updated: World, clock: HeldClock) -> None:
    clock.move(hours=1)
    told = changes(updated.db, "web-*", Ago(seconds=7200))
    assert told.complete
    by_name = {(row.host, row.container): row for row in told.rows}
    assert list(by_name) == sorted(by_name)
    good, bad = by_name["web-1", "app"], by_name["web-2", "app"]
    old, new = digest_of("nginx:1.27 old"), digest_of("nginx:1.27 new")
    assert (good.before, good.after, good.changed, good.failures) == (old, new, 1, 0)
    assert (bad.before, bad.after, bad.changed, bad.failures > 0) == (old, old, 0, True)
    assert bad.reason == "cannot do it"
    assert changes(updated.db, "web-1", Ago(seconds=60)).rows == ()
    assert changes(updated.db, "web-1", Ago(seconds=7200), Ago(seconds=7000)).rows == ()


def test_what_went_to_and_fro_has_no_lines_that_contradict_each_other(updated: World) -> None:
    (row,) = outcomes(updated.db, OutcomeFilter(host="web-1", container="app")).items
    there = replace(row, config_diff=("Labels.version: 1 -> 2",))
    fro = replace(there, old_digest=row.new_digest, new_digest=row.old_digest, config_diff=("Labels.version: 2 -> 1",))
    told = change_of([there, fro])
    assert (told.before, told.after, told.changed, told.config_diff) == (row.old_digest, row.old_digest, 2, ())
    assert change_of([there, fro, there]).config_diff == (*there.config_diff, *fro.config_diff)


def test_the_chain_of_a_container_holds_what_it_was_brought_to(updated: World) -> None:
    found, following = chain(updated.db, "web-1", "app", FIRST)
    assert [(row.old_digest, row.new_digest) for row in found] == [
        (digest_of("nginx:1.27 old"), digest_of("nginx:1.27 new"))
    ]
    assert following == ""
    assert chain(updated.db, "web-2", "app", FIRST) == ([], "")


@pytest.mark.parametrize("close", [False, True], ids=["open", "closed"])
def test_mirrors_by_day_are_the_sums_of_their_attempts(db: Database, clock: HeldClock, close: bool) -> None:
    write_facts(db, 120, seed=5, now=clock.now())
    if close:
        assert days.close_days(db) > 5
        assert days.close_days(db) == 0
    since = clock.now() - timedelta(days=6)
    found = {(row.mirror, row.day): row for row in mirror_report(db, since).days}
    naive = Counter[tuple[str, str, str]]()
    for row in rows(db, attempts):
        day = row["recorded_at"].date().isoformat()
        if day >= since.date().isoformat():
            served = row["result"] == AttemptResult.SERVED
            for name, amount in (
                ("pulls", 1),
                ("served", served),
                ("failures", row["result"] == AttemptResult.TIMEOUT),
                ("passed_over", row["result"] == AttemptResult.BREAKER_OPEN),
                ("fallbacks", served and row["seq"] > 0),
                ("bytes", row["bytes"]),
                ("requests", row["requests"]),
            ):
                naive[row["mirror"], day, name] += int(amount)
    assert {key[:2] for key in naive} == set(found)
    for (mirror, day, name), amount in naive.items():
        assert getattr(found[mirror, day], name) == amount, (mirror, day, name)


def test_a_mirror_tells_whom_it_served(db: Database, clock: HeldClock) -> None:
    write_facts(db, 60, seed=5, now=clock.now())
    report = mirror_report(db, clock.now() - timedelta(days=20), mirror="harbor")
    assert {day.mirror for day in report.days} == {MIRRORS[1]}
    assert sum(host.bytes for host in report.served) == sum(day.bytes for day in report.days) > 0
    assert sum(host.pulls for host in report.served) == report.looked_at
    assert mirror_report(db, clock.now() - timedelta(days=20), mirror="lan").served == ()


def test_durations_are_those_of_the_updates_that_fit(db: Database, clock: HeldClock) -> None:
    facts = write_facts(db, 80, seed=9, now=clock.now())
    told = durations(db, parse("outcome:failure"))
    wanted = sorted(row["stop_ms"] for row in facts.updates if row["result"] in FAILURES)
    (stop,) = [phase for phase in told.phases if phase.phase == "stop"]
    assert (told.looked_at, stop.updates, stop.most_ms) == (len(wanted), len(wanted), wanted[-1])
    assert stop.p50_ms == percentile(wanted, 0.5)
    assert sum(value <= stop.p95_ms for value in wanted) >= 0.95 * len(wanted)
    assert "rollback" not in {phase.phase for phase in told.phases}
    assert durations(db, parse("host:nobody")).phases == ()
    assert durations(db, Query()).looked_at == 80


def test_pulls_of_mirrors_stand_beside_those_of_the_origin(db: Database, clock: HeldClock) -> None:
    write_facts(db, 80, seed=9, now=clock.now())
    served = [row for row in rows(db, attempts) if row["result"] == AttemptResult.SERVED]
    told = {row.role: row for row in compared(db).rows}
    assert compared(db).failed == 0
    for role in Role:
        assert told[role].pulls == len([row for row in served if row["role"] == role])
        assert told[role].bytes == sum(row["bytes"] for row in served if row["role"] == role)
    with db.writing() as connection:
        count = connection.execute(update(pulls).values(ok=False)).rowcount
    assert (compared(db).rows, compared(db).failed) == ((), count)


def test_percentiles_are_values_that_were_seen() -> None:
    assert [percentile([1, 2, 3, 4], part) for part in (0.01, 0.5, 0.95)] == [1, 2, 4]
    assert percentile([7], 0.5) == 7


def test_a_day_is_closed_only_once_it_is_over(db: Database, clock: HeldClock) -> None:
    clock.at = datetime.fromisoformat("2026-11-25T00:05:00Z")
    write_facts(db, 20, seed=1, now=clock.at, days=3)
    closed = days.close_days(db)
    assert closed > 0
    clock.move(minutes=10)
    assert days.close_days(db) == 1
    clock.move(hours=23)
    assert days.close_days(db) == 0


def test_days_without_facts_are_passed_over(db: Database, clock: HeldClock) -> None:
    write_facts(db, 20, seed=1, now=clock.now(), days=3)
    clock.move(days=3650)
    assert 0 < days.close_days(db) <= 5


def test_nothing_is_closed_where_nothing_happened(db: Database) -> None:
    assert days.close_days(replace(db)) == 0
