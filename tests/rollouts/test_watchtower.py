"""What becomes of each of Watchtower's options."""

import json
from typing import Any

import pytest

from fleet.errors import BadInput
from fleet.rollouts.policy import read_policy
from fleet.rollouts.watchtower import Given, Imported, read_environment, read_inspect, turn
from fleet.rollouts.watchtower_options import BY_ENV, OPTIONS, Fate
from fleet.rollouts.watchtower_times import of_interval, of_schedule


def flags(*words: str) -> Imported:
    """Return what a command line means."""
    given = Given()
    given.add_flags(words)
    return turn(given)


def environment(**pairs: str) -> Imported:
    """Return what variables mean."""
    given = Given()
    given.add_environment(pairs)
    return turn(given)


@pytest.mark.parametrize(
    ("words", "policy"),
    [
        (["--cleanup"], {"remove_old_image": True}),
        (["--enable-lifecycle-hooks"], {"hooks": True}),
        (["--lifecycle-hooks=false"], {}),
        (["--label-enable"], {"select": {"only_enabled": True}}),
        (["--scope", "prod"], {"select": {"scopes": ["prod"]}}),
        (["--scope=none"], {"select": {"scopes": ["none"]}}),
        (["--monitor-only", "--label-take-precedence"], {"select": {"monitor_only": True, "labels_win": True}}),
        (["--no-pull"], {"select": {"monitor_only": True}}),
        (["nginx", "redis"], {"select": {"include": {"names": ["nginx", "redis"]}}}),
        (["-x", "db,cache"], {"select": {"exclude": {"names": ["db", "cache"]}}}),
        (["--skip-image-names", "^ghcr.io/.*$ redis:7"], {"select": {"exclude": {"images": ["ghcr.io/*", "redis:7"]}}}),
        (["--disable-containers-by-label", "fleet.x=1"], {"select": {"exclude": {"labels": {"fleet.x": "1"}}}}),
        (["--cooldown-delay", "3d"], {"resolve": {"min_age": "4320m"}}),
        (["--cooldown-delay", "0"], {}),
        (["--cleanup=false"], {}),
    ],
)
def test_what_chooses_containers_becomes_policy_that_can_be_read(words: list[str], policy: dict[str, Any]) -> None:
    found = flags(*words)
    assert found.policy == policy
    assert found.refusals == ()
    read_policy(found.policy, "the policy")


def test_the_same_holds_of_variables() -> None:
    found = environment(WATCHTOWER_CLEANUP="true", WATCHTOWER_SCHEDULE="0 30 4 * * 1", TZ="Europe/Rome", PATH="/bin")
    assert found.policy == {"remove_old_image": True}
    assert found.schedule == {"cron": "30 4 * * 1", "zone": "Europe/Rome", "action": "apply"}
    assert [each.name for each in found.became] == ["WATCHTOWER_CLEANUP", "WATCHTOWER_SCHEDULE", "TZ"]


def test_flags_win_over_variables_and_short_ones_may_stand_together() -> None:
    given = Given()
    given.add_flags(["-dR", "-i", "300", "--scope", "a"])
    given.add_environment({"WATCHTOWER_SCOPE": "b", "WATCHTOWER_POLL_INTERVAL": "60"})
    found = turn(given)
    assert found.policy == {"select": {"scopes": ["a"]}}
    assert found.schedule is None  # --run-once
    assert {each.name for each in found.became} == {"-d", "-R", "-i", "--scope"}


@pytest.mark.parametrize(
    "words", [["ng(inx|x)"], ["--enable-containers-by-label", "team=a"], ["--cooldown-delay", "soon"]]
)
def test_what_would_be_lost_and_update_more_is_refused(words: list[str]) -> None:
    assert [each.fate for each in flags(*words).refusals] == [Fate.REFUSED]


def test_what_nobody_documents_is_named_and_its_value_is_not_repeated() -> None:
    found = environment(WATCHTOWER_TOKEN="geheim")
    unknown = [each for each in found.became if each.fate is Fate.UNKNOWN]
    assert [each.name for each in unknown] == ["WATCHTOWER_TOKEN"]
    assert "geheim" not in str(found)


def test_secrets_are_not_repeated() -> None:
    found = environment(WATCHTOWER_NOTIFICATION_URL="telegram://geheim@x", REPO_PASS="geheim")
    assert len(found.became) == 3
    assert "geheim" not in str(found.became)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.env)
def test_every_documented_option_has_one_fate(option: Any) -> None:
    """By its flag and by its variable alike."""
    value = {"interval": "3600", "schedule": "0 0 4 * * *"}.get(option.flag, "true" if option.switch else "fleet.a=1")
    by_env = environment(**{option.env: value})
    told = [each for each in by_env.became if each.name == option.env]
    assert len(told) == 1
    assert told[0].fate is not Fate.UNKNOWN
    assert told[0].words
    assert BY_ENV[option.env] is option


def test_a_monitoring_watchtower_only_tells() -> None:
    assert (flags("--monitor-only").schedule or {})["action"] == "tell"


@pytest.mark.parametrize(
    ("written", "cron", "differs"),
    [
        ("0 0 4 * * *", "0 4 * * *", False),
        ("30 */15 * * * ?", "*/15 * * * *", True),
        ("0 0 4 1 *", "0 4 1 * *", False),
        ("@daily", "0 0 * * *", False),
        ("@every 1h30m", "0 */2 * * *", True),
    ],
)
def test_six_fields_become_five(written: str, cron: str, differs: bool) -> None:
    times = of_schedule(written)
    assert (times.cron, bool(times.differs)) == (cron, differs)


@pytest.mark.parametrize(
    ("seconds", "cron"),
    [
        (30, "* * * * *"),
        (300, "*/5 * * * *"),
        (420, "*/10 * * * *"),
        (3000, "0 * * * *"),
        (3600, "0 * * * *"),
        (21600, "0 */6 * * *"),
        (50000, "0 4 * * *"),
        (86400, "0 4 * * *"),
        (604800, "0 4 * * 0"),
    ],
)
def test_an_interval_becomes_the_next_longer_one_that_a_clock_has(seconds: int, cron: str) -> None:
    assert of_interval(seconds).cron == cron


@pytest.mark.parametrize(
    "words", [["--schedule", "* *"], ["-i", "x"], ["-i", "0"], ["--schedule", "@every soon"], ["-i"]]
)
def test_what_watchtower_would_not_take_is_refused(words: list[str]) -> None:
    with pytest.raises(BadInput, match=r"^cannot"):
        flags(*words)


def test_a_schedule_and_an_interval_together_are_refused() -> None:
    with pytest.raises(BadInput, match="only one"):
        flags("-i", "300", "--schedule", "0 0 4 * * *")


def test_an_inspect_is_read() -> None:
    inspect = [{"Config": {"Env": ["WATCHTOWER_CLEANUP=1", "PATH=/"], "Cmd": ["--label-enable", "-i", "300"]}}]
    found = turn(read_inspect(json.dumps(inspect)))
    assert found.policy == {"remove_old_image": True, "select": {"only_enabled": True}}
    assert (found.schedule or {})["cron"] == "*/5 * * * *"


@pytest.mark.parametrize("text", ["", "[]", "{}", "[{}, {}]", "3", '[{"Config": 3}]'])
def test_what_is_no_inspect_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="inspect of one container"):
        read_inspect(text)


def test_an_env_file_is_read() -> None:
    text = "# no\nWATCHTOWER_SCHEDULE=\"0 0 4 * * *\"\nexport TZ='Europe/Rome'\n\nnonsense\n"
    assert read_environment(text) == {"WATCHTOWER_SCHEDULE": "0 0 4 * * *", "TZ": "Europe/Rome"}
