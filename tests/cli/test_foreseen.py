"""What ``fleet plan`` says of configuration: what changes, what stays, and what is not known, for each group of containers."""

from datetime import UTC, datetime
from uuid import UUID

from fleet.api.plans import Plan, PlanConfiguration, PlanHost, PlanTarget
from fleet.cli.foreseen import foreseen_lines

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


def plan(*configurations: PlanConfiguration, hosts: int = 1, place: int | None = 0) -> Plan:
    """Return a plan in which *hosts* hosts have one container each, of which *place* says what changes."""
    target = PlanTarget(
        container="app",
        container_id="c",
        image="docker.io/library/nginx:1",
        reference="nginx:1",
        image_id="i",
        new_digest="sha256:1",
        configuration=place,
    )
    found = tuple(PlanHost(host=f"web-{n}", host_id=UUID(int=n), targets=(target,)) for n in range(hosts))
    return Plan(
        id=UUID(int=1), asked_by="x", created_at=NOW, expires_at=NOW, hosts=found, configurations=configurations
    )


def test_what_changes_and_what_stays_is_said_once_for_all_that_are_alike() -> None:
    told = PlanConfiguration(
        changes=("Config.Env.KEY: changed", 'Config.User: "a" -> "b"'),
        kept=("Config.Cmd", "Config.Env.TZ"),
        overridden=("Config.Cmd",),
    )
    assert list(foreseen_lines(plan(told, hosts=5))) == [
        "configuration of web-0/app, web-1/app, web-2/app and 2 more (nginx:1):",
        "  Config.Env.KEY: changed",
        '  Config.User: "a" -> "b"',
        "  stays although the image changes it: Config.Cmd",
        "  stays as it was set: Config.Env.TZ",
    ]


def test_where_nothing_changes_or_it_is_not_known_that_is_said() -> None:
    assert list(foreseen_lines(plan(PlanConfiguration())))[1:] == ["  nothing changes"]
    assert list(foreseen_lines(plan(PlanConfiguration(unknown="401"))))[1:] == ["  not known: 401"]


def test_a_plan_that_was_not_looked_at_says_nothing() -> None:
    assert list(foreseen_lines(plan(place=None))) == []
    assert list(foreseen_lines(plan(place=7))) == []
