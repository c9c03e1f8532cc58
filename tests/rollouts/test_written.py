"""Specs as people write them: durations, sizes and times of day; each error names the line, the field and the remedy."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import BadInput
from fleet.rollouts.marked import read
from fleet.rollouts.spec import DAY_MS, MINUTE_MS, STAGED, Gate, LateJoiners, OnFailure, RolloutSpec
from fleet.rollouts.states import FailureClass
from fleet.rollouts.windows import Day
from fleet.rollouts.written import read_spec

WHOLE = """\
waves:
  - {size: 1, soak: 10m, on_failure: hold}
  - size: 10%
    soak: 30m
    success_pct: 90
    tolerance_pct: 10
    approval: true
    deadline: 6h
  - selector: {labels: {site: lab}}
    size: 50%
  - size: rest
budget: {max_failed_total: 3, fail_fast: {min_executed: 4, failed_pct: 75}}
try: {max: 3, backoff: 90s, min_healthy_time: 30s, retry_on: [infrastructure]}
offline: {policy: wait, after: 45m, catch_up: 7d}
late_joiners: exclude
windows:
  - start: 22:00
    duration: 6h
    tz: Europe/Berlin
    days: [mon, fri]
freezes:
  - {from: 2026-12-24T00:00:00Z, to: 2027-01-02T00:00:00+01:00, reason: the holidays}
stratify_by: [site]
min_release_age: 2d
on_failure: rollback
expires: 14d
rate: {per_minute: 60}
"""


def test_a_whole_spec_is_read_and_kept_as_it_was_meant() -> None:
    spec = read_spec(WHOLE)
    assert [wave.size for wave in spec.waves] == [1, "10%", "50%", "rest"]
    assert spec.waves[1].gate == Gate(success_pct=90, tolerance_pct=10)
    assert (spec.waves[1].approval, spec.waves[1].deadline_ms) == (True, 6 * 60 * MINUTE_MS)
    assert spec.on_failure_of(0) is OnFailure.HOLD
    assert spec.on_failure_of(2) is OnFailure.ROLLBACK
    assert (spec.tries.retry_on, spec.tries.min_healthy_ms) == ((FailureClass.INFRASTRUCTURE,), 30_000)
    assert (spec.offline.park, spec.offline.catch_up_ms) == (False, 7 * DAY_MS)
    assert spec.offline.after_ms == 45 * MINUTE_MS
    assert spec.late_joiners is LateJoiners.EXCLUDE
    assert (spec.windows[0].start, spec.windows[0].days) == ("22:00", (Day.MON, Day.FRI))
    assert spec.freezes[0].ends_at == datetime(2027, 1, 1, 23, tzinfo=UTC)
    assert RolloutSpec.parse(spec.document()) == spec


def test_an_empty_spec_is_staged_with_a_budget_and_parks_the_silent() -> None:
    spec = read_spec("")
    assert spec.waves == STAGED
    assert spec.budget is not None
    assert spec.offline.park


def test_a_spec_of_the_first_version_is_still_read_and_means_what_it_meant() -> None:
    old = {
        "version": 1, "waves": [{"size": "rest"}], "max_parallel": 7, "expires_ms": 1000,
        "tries": {"dispatch_ttl_ms": 1, "pull_timeout_ms": 2, "apply_timeout_ms": 3, "max": 4, "backoff_ms": 5},
    }  # fmt: skip
    spec = RolloutSpec.parse(old)
    assert (spec.version, spec.max_parallel, spec.tries.max) == (1, 7, 4)
    assert spec.waves[0].gate is None
    assert (spec.budget, spec.windows, spec.offline.park) == (None, (), False)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("soak: 30m", "soak: 30", r"line 4, waves\.1\.soak: give a duration such as"),
        ("soak: 30m", "soack: 30m", r"line 4, waves\.1\.soack: there is no such field here; did you mean soak\?"),
        ("size: 10%", "size: 130%", r"line 3, waves\.1\.size: give a number of hosts"),
        ("success_pct: 90", "success_pct: 900", r"line 5, waves\.1\.success_pct: give at most 100"),
        ("approval: true", "approval: maybe", r"line 7, waves\.1\.approval: "),
        ("size: rest", "size: 3", r"line 11, waves\.3: the last wave must take what is left; give it size: rest"),
        ("    size: 50%\n", "", r""),
        ("  - {size: 1,", "  - {size: rest,", r"line 2, waves\.0\.size: hosts after this wave are none"),
        ("22:00", "25:00", r"line 17, windows\.0\.start: give a time of day"),
        ("Europe/Berlin", "Europe/Belin", r"line 19, windows\.0\.tz: give a time zone such as"),
        ("duration: 6h", "duration: 10m", r"windows\.0: the cut-off is longer than the window"),
        ("    duration: 6h\n", "", r"windows\.0\.duration: this field is missing"),
        ("[mon, fri]", "[mon, someday]", r"line 20, windows\.0\.days\.1: "),
        ("2027-01-02", "2025-01-02", r"line 22, freezes\.0: a freeze must end after it begins"),
        ("2026-12-24T00:00:00Z", "2026-12-24T00:00:00", r"line 22, freezes\.0\.from: give a time with its zone"),
        ("rate: {per_minute: 60}", "rate: {per_minute: 0}", r"line 27, rate\.per_minute: "),
        ("try: {max: 3", "try: {max: 3, max: 4", r"line 13: 'max' stands there twice"),
        ("stratify_by: [site]", "stratify_by: [site", r"line 24: "),
        ("expires: 14d", "expires: !!python/name:os.system 14d", r""),
        ("expires: 14d", "expires: 400d", r"line 26, expires: give at most 366d"),
        ("expires: 14d", "max_parallel: true", r"line 26, max_parallel: give a whole number, without quotes"),
        ("expires: 14d", "max_parallel: .nan", r"line 26, max_parallel: give a whole number"),
        ("expires: 14d", "max_parallel: 99999999999999999999", r"line 26, max_parallel: give a whole number"),
        ("after: 45m", "after: 30s", r"line 14, offline\.after: give at least 60s"),
        ("backoff: 90s", "backoff: 0s", r"line 13, try\.backoff: give more than 0s"),
        ("failed_pct: 75", "failed_pct: true", r"line 12, budget\.fail_fast\.failed_pct: give a whole number"),
        ("success_pct: 90", "success_pct: true", r"line 5, waves\.1\.success_pct: give a whole number"),
        ("stratify_by: [site]", "stratify_by: site", r"line 23, stratify_by: give a list, such as"),
        ("2026-12-24T00:00:00Z", "0001-01-01T00:00:00Z", r"line 22, freezes\.0\.from: give a time from the year 2000"),
        ("2026-12-24T00:00:00Z", "1e99", r"line 22, freezes\.0\.from: give a time with its zone"),
        (
            "expires: 14d",
            "selector: {hosts: [a]}",
            r"line 26, selector: there is no such field here; it belongs elsewhere",
        ),
        ("offline: {policy", "offline: {polcy", r"line 14, offline\.polcy: .*; did you mean policy\?"),
    ],
)
def test_each_error_names_the_line_the_field_and_what_to_do(before: str, after: str, said: str) -> None:
    assert before in WHOLE
    changed = WHOLE.replace(before, after, 1)
    if not said:
        read_spec(changed)  # well-formed: a selector alone may take the rest, and a tag means nothing here
        return
    with pytest.raises(BadInput, match=r"^cannot (use|read) the rollout's spec: .*" + said):
        read_spec(changed)


def test_json_is_read_as_well() -> None:
    assert read_spec('{"waves": [{"size": 2}, {"size": "rest"}], "expires": "1d"}').expires_ms == DAY_MS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22:00", "22:00"),
        ("no", "no"),
        ("on", "on"),
        ("010", "010"),
        ("1e3", "1e3"),
        ("0x10", "0x10"),
        ("2026-12-24", "2026-12-24"),
        ("'12'", "12"),
        ("12", 12),
        ("-3", -3),
        ("true", True),
        ("~", None),
    ],
)
def test_plain_words_mean_what_people_mean_by_them(text: str, value: object) -> None:
    assert read(f"a: {text}", "it").document == {"a": value}


def test_aliases_of_aliases_do_not_grow_without_end() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    with pytest.raises(BadInput, match="too many values"):
        read(bomb, "it")
    with pytest.raises(BadInput, match="nested too deeply"):
        read("a: &a [*a]", "it")


def test_of_more_values_than_a_spec_may_have_the_rest_is_not_even_read() -> None:
    """To read a megabyte of them took a processor for seven seconds, and what is wrong with the first was said at the end."""
    with pytest.raises(BadInput, match="line 1: too many values"):
        read("{" + "a: b," * 50_000 + "}", "it")


@given(st.text(max_size=200))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        read_spec(text)
    except BadInput as error:
        assert str(error).startswith("cannot ")
