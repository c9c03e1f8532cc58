"""Hosts are added, found, renamed, labelled and removed; their history stays."""

import pytest

from fleet.errors import BadInput, NotFound, Refused
from fleet.history.inventory import containers, hosts
from fleet.history.inventory.hosts import HostRow
from fleet.history.inventory.logins import LoginRow, logins
from fleet.history.noted import audit
from fleet.history.questions import queries
from fleet.history.questions.queries import OutcomeFilter
from fleet.history.sql.database import Database
from fleet.history.tables.facts import commands
from fleet.history.tables.inventory import host_keys
from fleet.ids import short
from fleet.rollouts.states import HostState
from tests.history.conftest import HeldClock
from tests.history.world import BY, World, container, rows


def _add(db: Database, name: str = "web-1", kid: str = "k1") -> HostRow:
    labels = {"site": "berlin"}
    return hosts.add_host(db, name=name, labels=labels, public_key="{}", kid=kid, password_sha256="ab", **BY)


def test_a_host_is_found_by_name_id_and_short_id(db: Database) -> None:
    row = _add(db)
    for name in ("web-1", row.id, str(row.id), row.id.hex, short(row.id)):
        assert hosts.host(db, name) == row
    assert row.labels == {"site": "berlin"}
    assert logins(db) == [LoginRow(host_id=row.id, password_sha256="ab", next_sha256="")]
    assert hosts.key_owner(db, "k1") == (row.id.hex, "{}")


@pytest.mark.parametrize("name", ["web-2", "00000000", "not a uuid", "\0", "'; DROP TABLE hosts"])
def test_an_unknown_host_is_not_found(db: Database, name: str) -> None:
    _add(db)
    with pytest.raises(NotFound, match=r"cannot find the host .*; see: fleet host ls"):
        hosts.host(db, name)


def test_a_name_and_a_key_belong_to_one_host(db: Database) -> None:
    _add(db)
    with pytest.raises(Refused, match="'web-1' is taken"):
        _add(db, kid="k2")
    with pytest.raises(Refused, match="key"):
        _add(db, name="web-2")
    assert [row.name for row in hosts.hosts(db)] == ["web-1"]


@pytest.mark.parametrize("name", ["", "-x", "a b", "ü", "x" * 64, "a\0"])
def test_a_bad_name_is_refused(db: Database, name: str) -> None:
    with pytest.raises(BadInput, match="cannot use"):
        _add(db, name=name)


def test_a_host_is_renamed_and_labelled(db: Database) -> None:
    row = _add(db)
    _add(db, "web-2", "k2")
    assert hosts.rename_host(db, "web-1", name="edge-1", **BY).id == row.id
    with pytest.raises(Refused, match="taken"):
        hosts.rename_host(db, "edge-1", name="web-2", **BY)
    assert hosts.label_host(db, "edge-1", labels={"ring": "canary"}, **BY).labels == {"ring": "canary"}
    with pytest.raises(BadInput):
        hosts.label_host(db, "edge-1", labels={"a b": "c"}, **BY)


def test_a_removed_host_has_no_key_no_login_and_no_containers_and_its_name_is_free(world: World) -> None:
    world.add_host("web-1", container("web"))
    world.rollout()
    world.run()
    removed = hosts.remove_host(world.db, "web-1", **BY)
    assert removed.removed_at is not None
    assert hosts.hosts(world.db) == []
    assert logins(world.db) == []
    assert hosts.key_owner(world.db, "kid web-1") is None
    assert [row["revoked_at"] is None for row in rows(world.db, host_keys)] == [False], "nor if it were there again"
    assert containers.containers(world.db) == []
    with pytest.raises(NotFound):
        hosts.host(world.db, "web-1")
    _add(world.db, "web-1")
    assert len(queries.outcomes(world.db, OutcomeFilter(host="web-1")).items) == 1


def test_no_rollout_waits_for_a_removed_host(world: World) -> None:
    world.add_host("web-1", container("web"))
    world.add_host("web-2", container("web"), heard=True)
    rollout_id = world.rollout()
    world.tick()
    hosts.remove_host(world.db, "web-1", **BY)
    assert queries.rollout(world.db, rollout_id).rollout.counts == {HostState.SKIPPED: 1, HostState.DISPATCHED: 1}
    assert sorted(row["state"] for row in rows(world.db, commands)) == ["cancelled", "offered"]


def test_silence_is_judged_by_the_centres_clock(world: World, clock: HeldClock) -> None:
    world.add_host("web-1")
    assert not hosts.host(world.db, "web-1").silent(clock.now())
    clock.move(minutes=15)
    assert hosts.host(world.db, "web-1").silent(clock.now())


def test_every_act_is_in_the_audit_with_who_and_through_which_door(db: Database) -> None:
    _add(db)
    hosts.rename_host(db, "web-1", name="edge-1", **BY)
    hosts.remove_host(db, "edge-1", **BY)
    acts = audit.acts(db).items
    assert [(act.action, act.who, act.door) for act in acts] == [
        (action, "person:anna", "socket") for action in ("host rm", "host rename", "host add")
    ]
    assert "ab" not in acts[-1].details.values(), "the hash of the password"


def test_a_time_zone_that_there_is_not_is_refused_when_the_label_is_written(db: Database) -> None:
    key: dict[str, str] = {"public_key": "{}", "kid": "k1", "password_sha256": "ab"}
    with pytest.raises(BadInput, match="cannot use 'Mars/Olympus' as a time zone"):
        hosts.add_host(db, name="web-1", labels={"timezone": "Mars/Olympus"}, **key, **BY)
    hosts.add_host(db, name="web-1", labels={"timezone": "Australia/Lord_Howe"}, **key, **BY)
    with pytest.raises(BadInput, match="time zone"):
        hosts.label_host(db, "web-1", labels={"timezone": "22:00"}, **BY)
