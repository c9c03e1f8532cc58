"""Policies, schedules, tokens and the audit: what people set, and what holds."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert

from fleet.errors import BadInput, NotFound, Refused
from fleet.history.inventory import hosts
from fleet.history.noted import audit
from fleet.history.rollouts import schedules
from fleet.history.rollouts.schedules import ScheduleChange, ScheduleRow
from fleet.history.rules import policies, tokens
from fleet.history.sql.database import Database
from fleet.history.sql.pages import PageRequest
from fleet.history.tables import facts as fact_tables
from fleet.history.tables.words import PolicyKind, ScheduleAction, Scope
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import RolloutSpec
from tests.history.conftest import HeldClock
from tests.history.world import BY


def _add(db: Database, name: str, **labels: str) -> hosts.HostRow:
    return hosts.add_host(db, name=name, labels=labels, public_key="{}", kid=name, password_sha256="ab", **BY)


def test_policy_of_a_host_overrides_that_of_its_labels_and_those_the_fleets(db: Database) -> None:
    row = _add(db, "web-1", site="berlin", ring="canary")
    other = _add(db, "web-2")
    plain = policies.effective_policy(db, other.id)
    assert plain.document == {}
    fleet = {"mirrors": [{"for": "docker.io", "url": "http://fleet.lan"}], "verify": {"settle_ms": 1}}
    label = {"mirrors": [{"for": "*", "url": "http://berlin.lan"}], "verify": {"deadline_ms": 7}}
    policies.set_policy(db, PolicyKind.FLEET, "", fleet, **BY)
    policies.set_policy(db, PolicyKind.LABEL, "site=berlin", label, **BY)
    policies.set_policy(db, PolicyKind.LABEL, "site=paris", {"remove_old_image": True}, **BY)
    policies.set_policy(db, PolicyKind.HOST, "web-1", {"global_mirrors_for": "docker.io"}, **BY)
    found = policies.effective_policy(db, row.id)
    assert [str(rule.endpoint) for rule in found.policy.mirrors] == ["http://berlin.lan"]
    assert found.policy.mirrors[0].where == "policy: label site=berlin"
    assert (found.policy.verify.settle_ms, found.policy.verify.deadline_ms) == (1, 7)
    assert (found.policy.global_mirrors_for, found.policy.remove_old_image) == ("docker.io", False)
    every = policies.effective_policies(db)
    assert every[row.id] == found
    assert [str(rule.endpoint) for rule in every[other.id].policy.mirrors] == ["http://fleet.lan"]
    assert every[other.id].hash != plain.hash != found.hash


def test_a_policy_is_counted_by_its_writings_and_taken_away_by_an_empty_one(db: Database) -> None:
    for settle in (1, 2):
        row = policies.set_policy(db, PolicyKind.FLEET, "", {"verify": {"settle_ms": settle}}, **BY)
        assert row is not None
        assert (row.version, row.changed_by) == (settle, "person:anna")
    assert policies.policy(db, PolicyKind.FLEET) == row
    assert policies.set_policy(db, PolicyKind.FLEET, "", {}, **BY) is None
    assert policies.policies(db) == []
    before_and_after = audit.acts(db).items[0].details
    assert before_and_after == {"before": {"verify": {"settle_ms": 2}}, "after": {}}


@pytest.mark.parametrize(
    "document",
    [
        {"mirors": []},
        {"mirrors": [{"for": "docker.io"}]},
        {"mirrors": "http://x"},
        {"verify": {"settle_ms": "1"}},
        {"verify": {"settle_ms": -1}},
        {"global_mirrors_for": "quay.io"},
        {"remove_old_image": "yes"},
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_and_changes_nothing(db: Database, document: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="cannot"):
        policies.set_policy(db, PolicyKind.FLEET, "", document, **BY)
    assert policies.policies(db) == []


def test_a_policy_is_of_the_fleet_a_label_or_a_known_host(db: Database) -> None:
    for kind, subject in ((PolicyKind.FLEET, "x"), (PolicyKind.LABEL, "x"), (PolicyKind.LABEL, "=x")):
        with pytest.raises(BadInput):
            policies.set_policy(db, kind, subject, {"remove_old_image": True}, **BY)
    with pytest.raises(NotFound):
        policies.set_policy(db, PolicyKind.HOST, "web-1", {"remove_old_image": True}, **BY)


def _schedule(db: Database, name: str = "nightly", **changes: object) -> ScheduleRow:
    values: dict[str, object] = {"cron": "0 3 * * *", "zone": "Europe/Berlin", "selector": Selector(), **changes}
    return schedules.create_schedule(db, name=name, action=ScheduleAction.APPLY, **values, **BY)  # type: ignore[arg-type]


def test_a_schedule_is_due_at_its_time_in_its_zone_and_to_one_caller(db: Database, clock: HeldClock) -> None:
    row = _schedule(db, spec=RolloutSpec(max_parallel=1), selector=Selector(images=("nginx",)))
    assert row.next_run_at == datetime(2026, 11, 26, 2, 0, tzinfo=UTC)
    assert schedules.claim_due(db, clock.now()) == []
    clock.move(hours=14)
    (due,) = schedules.claim_due(db, clock.now())
    assert (due.schedule, due.due_at) == (row, row.next_run_at)
    assert schedules.claim_due(db, clock.now()) == []


def test_a_claimed_schedule_that_was_not_run_is_due_again(db: Database, clock: HeldClock) -> None:
    _schedule(db)
    clock.move(hours=14)
    assert len(schedules.claim_due(db, clock.now())) == 1
    clock.move(minutes=10)
    (due,) = schedules.claim_due(db, clock.now())
    schedules.ran(db, due.schedule.id, "nothing to do", clock.now() + timedelta(hours=24))
    clock.move(minutes=10)
    assert schedules.claim_due(db, clock.now()) == []
    row = schedules.schedule(db, "nightly")
    assert (row.last_result, row.last_run_at) == ("nothing to do", clock.now() - timedelta(minutes=10))


def test_a_paused_schedule_is_not_due_and_does_not_catch_up(db: Database, clock: HeldClock) -> None:
    _schedule(db)
    schedules.enable_schedule(db, "nightly", enabled=False, **BY)
    clock.move(hours=48)
    assert schedules.claim_due(db, clock.now()) == []
    with pytest.raises(Refused, match="paused"):
        schedules.run_schedule_now(db, "nightly", **BY)
    assert schedules.enable_schedule(db, "nightly", enabled=True, **BY).next_run_at > clock.now()  # type: ignore[operator]
    assert schedules.claim_due(db, clock.now()) == []
    schedules.run_schedule_now(db, "nightly", **BY)
    assert len(schedules.claim_due(db, clock.now())) == 1


def test_the_audit_is_asked_for_a_time_by_what_it_tells(db: Database) -> None:
    """An id says when it was made, by another clock than the database's: some minutes between them hide no act."""
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    with db.writing() as connection:
        for who, apart in (("early", -5), ("late", 5)):
            id = UUID(int=int(noon.timestamp() * 1000) << 80 | 7 << 76 | 0b10 << 62 | apart + 5)
            act = {"id": id, "who": who, "door": "test", "action": "x", "subject": "y", "details": {}}
            connection.execute(insert(fact_tables.audit), {**act, "at": noon + timedelta(minutes=apart)})
    assert [act.who for act in audit.acts(db, since=noon + timedelta(minutes=4)).items] == ["late"]
    assert [act.who for act in audit.acts(db, until=noon - timedelta(minutes=4)).items] == ["early"]
    assert len(audit.acts(db, since=noon - timedelta(minutes=5), until=noon + timedelta(minutes=6)).items) == 2
    ever = audit.acts(db, since=datetime.min.replace(tzinfo=UTC), until=datetime.max.replace(tzinfo=UTC))
    assert len(ever.items) == 2


def test_a_run_under_way_does_not_bring_back_times_that_were_changed_meanwhile(db: Database, clock: HeldClock) -> None:
    _schedule(db)
    clock.move(hours=14)
    (due,) = schedules.claim_due(db, clock.now())
    edited = schedules.change_schedule(db, "nightly", ScheduleChange(cron="15 5 * * *"), **BY)
    schedules.ran(db, due.schedule.id, "nothing to do", clock.now() + timedelta(hours=24))
    row = schedules.schedule(db, "nightly")
    assert (row.last_result, row.next_run_at) == ("nothing to do", edited.next_run_at)
    assert schedules.claim_due(db, clock.now()) == []


def test_resuming_what_is_not_paused_lets_nobody_run_it_twice(db: Database, clock: HeldClock) -> None:
    _schedule(db)
    clock.move(hours=14)
    assert len(schedules.claim_due(db, clock.now())) == 1
    schedules.enable_schedule(db, "nightly", enabled=True, **BY)
    assert schedules.claim_due(db, clock.now()) == []


def test_a_schedule_that_is_resumed_while_a_run_has_it_waits_for_no_lease(db: Database, clock: HeldClock) -> None:
    _schedule(db, cron="* * * * *")
    clock.move(minutes=1)
    assert len(schedules.claim_due(db, clock.now())) == 1
    for enabled in (False, True):
        schedules.enable_schedule(db, "nightly", enabled=enabled, **BY)
    clock.move(minutes=1)
    assert len(schedules.claim_due(db, clock.now())) == 1


def test_a_schedule_that_cannot_be_is_refused_and_changes_nothing(db: Database) -> None:
    for changes in ({"cron": "0 3 * *"}, {"zone": "Mars/Olympus"}, {"name": ""}, {"name": "a\nb"}):
        with pytest.raises(BadInput, match="cannot"):
            _schedule(db, **{"name": "x", **changes})
    assert schedules.schedules(db) == []
    _schedule(db)
    with pytest.raises(Refused, match="taken"):
        _schedule(db)
    schedules.delete_schedule(db, "nightly", **BY)
    with pytest.raises(NotFound):
        schedules.delete_schedule(db, "nightly", **BY)


def test_a_token_holds_until_it_expires_or_is_taken_back(db: Database, clock: HeldClock) -> None:
    over = clock.now() + timedelta(days=1)
    tokens.add_token(db, name="ci", sha256="aa", scope=Scope.WRITE, expires_at=over, **BY)
    tokens.add_token(db, name="old", sha256="bb", scope=Scope.READ, **BY)
    found = tokens.token_by_hash(db, "aa")
    assert found is not None
    assert (found.name, found.scope) == ("ci", Scope.WRITE)
    assert tokens.token_by_hash(db, "cc") is None
    tokens.revoke_token(db, "old", **BY)
    assert tokens.token_by_hash(db, "bb") is None
    clock.move(days=1)
    assert tokens.token_by_hash(db, "aa") is None
    with pytest.raises(Refused, match="taken"):
        tokens.add_token(db, name="ci", sha256="dd", scope=Scope.READ, **BY)
    with pytest.raises(NotFound):
        tokens.revoke_token(db, "none", **BY)
    assert all("aa" not in act.details.values() for act in audit.acts(db).items)


def test_the_use_of_a_token_is_noted_to_the_minute(db: Database, clock: HeldClock) -> None:
    tokens.add_token(db, name="ci", sha256="aa", scope=Scope.READ, **BY)
    first = clock.now()
    for _ in range(3):
        tokens.token_by_hash(db, "aa")
        clock.move(seconds=20)
    assert tokens.tokens(db)[0].last_used_at == first
    tokens.token_by_hash(db, "aa")
    assert tokens.tokens(db)[0].last_used_at == clock.now()


def test_pages_of_the_audit_follow_each_other_whatever_comes_meanwhile(db: Database) -> None:
    for number in range(7):
        audit.record(db, action="look", subject=str(number), **BY)
    page = audit.acts(db, PageRequest(limit=3))
    audit.record(db, action="look", subject="new", **BY)
    seen = [act.subject for act in page.items]
    while page.next:
        page = audit.acts(db, PageRequest(limit=3, cursor=page.next))
        seen += [act.subject for act in page.items]
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]
    for request in (PageRequest(limit=0), PageRequest(limit=1001), PageRequest(cursor="x")):
        with pytest.raises(BadInput, match="cannot"):
            audit.acts(db, request)
