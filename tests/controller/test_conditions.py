"""What a person is told, and what not."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from fleet.controller.condition import Facts, Severity
from fleet.controller.condition_catalogue import CATALOGUE
from fleet.controller.condition_log import ConditionLog
from fleet.controller.conditions import judge
from fleet.controller.mirror_audit import audit_mirrors
from fleet.history.commands.pinned import Brought
from fleet.history.inventory.hosts import HostRow
from fleet.history.mirrors.liars import Liar
from fleet.history.mirrors.probes import ProbeRow
from fleet.history.questions.held import Asked, HeldRow
from fleet.history.questions.mirror_report import MirrorDay
from fleet.history.registries.limits import LimitRow
from fleet.history.registries.tags import TagRow
from fleet.mirrors.probe import ProbeState
from fleet.rollouts.states import Hold

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def host(name: str = "web-1", **changes: Any) -> HostRow:
    """Return a host that is well."""
    row = HostRow(
        id=UUID(int=1),
        name=name,
        labels={},
        broker_password_sha256="",
        agent_version="1",
        reads=(1,),
        engine_id=f"engine-{name}",
        engine_name=name,
        engine_version="26.1",
        api_version="1.45",
        os="linux",
        architecture="amd64",
        containerd_store=False,
        problems=(),
        mirrors=(),
        snapshot_hash="s",
        outcomes_waiting=0,
        skew_ms=10,
        created_at=NOON - timedelta(days=9),
        joined_at=NOON - timedelta(days=9),
        last_seen_at=NOON - timedelta(minutes=1),
        removed_at=None,
    )
    return replace(row, **changes)


def codes(facts: Facts) -> list[tuple[str, str]]:
    """Return code and subject of each condition."""
    return [(condition.code, condition.subject) for condition in judge(facts)]


def test_where_all_is_well_nothing_is_said() -> None:
    facts = Facts(now=NOON, hosts=[host(), host("web-2")], last_tick=NOON, inbox_waiting=3)
    assert judge(facts) == []


def test_each_condition_has_its_own_code_and_a_remedy() -> None:
    assert len({kind.code for kind in CATALOGUE}) == len(CATALOGUE)
    assert all(kind.remedy for kind in CATALOGUE)


def test_a_condition_depends_on_ones_before_it_only() -> None:
    seen: set[str] = set()
    for kind in CATALOGUE:
        assert set(kind.depends) <= seen
        seen.add(kind.code)


def test_a_silent_host_is_told_after_twenty_minutes() -> None:
    assert codes(Facts(now=NOON, hosts=[host(last_seen_at=NOON - timedelta(minutes=19))])) == []
    (silent,) = judge(Facts(now=NOON, hosts=[host(last_seen_at=NOON - timedelta(minutes=20))]))
    assert (silent.code, silent.subject, silent.since) == ("host-silent", "web-1", NOON - timedelta(minutes=20))


def test_a_host_that_never_came_is_told_after_an_hour() -> None:
    assert codes(Facts(now=NOON, hosts=[host(last_seen_at=None, created_at=NOON - timedelta(minutes=59))])) == []
    assert codes(Facts(now=NOON, hosts=[host(last_seen_at=None)])) == [("host-never-joined", "web-1")]


def test_a_silent_hosts_older_problems_are_not_told_beside_it() -> None:
    ill: dict[str, Any] = {"problems": ("engine: cannot reach it",), "skew_ms": 10**9}
    assert codes(Facts(now=NOON, hosts=[host(**ill)])) == [("host-problem", "web-1"), ("host-clock", "web-1")]
    away = host(last_seen_at=NOON - timedelta(days=1), **ill)
    assert codes(Facts(now=NOON, hosts=[away])) == [("host-silent", "web-1")]


def test_an_inbox_that_is_behind_explains_silent_hosts() -> None:
    facts = Facts(now=NOON, hosts=[host(last_seen_at=NOON - timedelta(days=1))], inbox_waiting=50_000)
    assert codes(facts) == [("inbox-behind", "centre")]


def test_two_hosts_of_one_engine_are_told_once() -> None:
    facts = Facts(now=NOON, hosts=[host("b", engine_id="e"), host("a", engine_id="e"), host("c"), host("d")])
    assert codes(facts) == [("duplicate-engine", "a, b")]


def test_a_rollout_that_waits_for_a_person_is_told_with_what_may_be_said() -> None:
    """Who paused one knows it, and a newer rollout holds its earlier one by itself."""
    held = [
        HeldRow(number=6, holds=frozenset({Hold.APPROVAL})),
        HeldRow(number=7, holds=frozenset({Hold.USER, Hold.APPROVAL})),
        HeldRow(number=8, holds=frozenset({Hold.SUPERSEDED})),
        HeldRow(number=9, holds=frozenset({Hold.SUPERSEDED, Hold.GATE_FAILED})),
    ]
    six, nine = judge(Facts(now=NOON, held=held))
    assert (six.code, six.subject, six.remedy) == ("rollout-held", "rollout #6", "approve it: fleet approve 6")
    assert six.text == "rollout #6: waits: approval (the next wave waits for a person)"
    images = (("docker.io/library/nginx:1.27", f"sha256:{'41aa22bb' * 8}"),) * 4
    asked = Asked(wave=1, waves=4, hosts=25, since=NOON, brought=Brought(images=images))
    (six,) = judge(Facts(now=NOON, held=[HeldRow(number=6, holds=frozenset({Hold.APPROVAL}), asked=asked)]))
    nginx = "nginx:1.27 41aa22bb41aa"
    assert six.text == (
        f"rollout #6: waits: approval of wave 2 of 4 (25 hosts); it brings {nginx}, {nginx}, {nginx} and 1 more"
    )
    assert six.since == NOON
    assert (nine.subject, "a newer rollout" in nine.text, "fleet rollout waive 9" in nine.remedy) == (
        "rollout #9",
        False,
        True,
    )


def test_two_agents_of_one_host_are_told() -> None:
    assert codes(Facts(now=NOON, hosts=[host(rivals_at=NOON)])) == [("two-agents", "web-1")]


@pytest.mark.parametrize(("hours", "told"), [(23, True), (25, False)])
def test_a_flood_is_told_of_for_a_day(hours: int, told: bool) -> None:
    flooded = Facts(now=NOON, hosts=[host(muted_at=NOON - timedelta(hours=hours))])
    assert (("host-flooding", "web-1") in codes(flooded)) is told


def test_a_void_login_is_told_while_it_is_tried_and_not_for_a_moment() -> None:
    def seen(*, minutes: int, ago: int = 0) -> list[tuple[str, str]]:
        last = NOON - timedelta(minutes=ago)
        return codes(
            Facts(now=NOON, hosts=[host(strangers_since=last - timedelta(minutes=minutes), strangers_at=last)])
        )

    assert seen(minutes=2) == []
    assert seen(minutes=3) == [("login-refused", "web-1")]
    assert seen(minutes=3, ago=5) == []


def test_hosts_without_an_engine_id_are_no_twins() -> None:
    assert codes(Facts(now=NOON, hosts=[host("a", engine_id=""), host("b", engine_id="")])) == []


def test_a_planner_that_does_not_tick_is_told_after_a_minute() -> None:
    assert codes(Facts(now=NOON, last_tick=NOON - timedelta(seconds=59))) == []
    assert codes(Facts(now=NOON, last_tick=NOON - timedelta(seconds=60))) == [("scheduler-late", "centre")]


def test_a_clock_that_is_a_day_off_is_told() -> None:
    (ahead,) = judge(Facts(now=NOON, hosts=[host(skew_ms=86_400_000)]))
    assert ahead.text == "the clock of web-1 is 1440 minutes ahead"


def test_a_tag_that_cannot_be_checked_is_told() -> None:
    row = TagRow(
        image="a/b:1",
        digest="",
        endpoint="",
        reason="cannot read it",
        resolved_at=None,
        checked_at=NOON,
        leased_until=None,
    )
    assert codes(Facts(now=NOON, tags=[row])) == [("tag-unresolved", "a/b:1")]


def probe(state: ProbeState, host: str = "web-1", **changes: Any) -> ProbeRow:
    """Return a look at https://m.lan."""
    row = ProbeRow(
        host_id=UUID(int=1),
        host=host,
        mirror="https://m.lan",
        registry="docker.io",
        state=state,
        reason="cannot reach it",
        duration_ms=5,
        tls_not_after=None,
        digest="",
        origin_digest="",
        recorded_at=NOON,
        test_id=None,
    )
    return replace(row, **changes)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (ProbeState.OK, []),
        (ProbeState.MISSING, ["mirror-missing"]),
        (ProbeState.DOWN, ["mirror-down"]),
        (ProbeState.TLS, ["mirror-tls"]),
        (ProbeState.STALE, ["mirror-stale"]),
        (ProbeState.UNAUTHORIZED, ["mirror-auth-failed"]),
    ],
)
def test_a_mirror_that_is_not_well_is_told_once_for_all_hosts(state: ProbeState, expected: list[str]) -> None:
    found = judge(Facts(now=NOON, probes=[probe(state), probe(state, "web-2")]))
    assert [condition.code for condition in found] == expected
    assert all(condition.subject == "https://m.lan" for condition in found)


LOOKED_AT = [
    (probe(ProbeState.DOWN), "look at it from the host: fleet mirror test web-1"),
    (
        probe(ProbeState.TLS, mirror="https://m.lan:5443/x"),
        "on web-1, put its authority at /etc/docker/certs.d/m.lan:5443/ca.crt",
    ),
    (
        probe(ProbeState.TLS, tls_not_after=NOON - timedelta(days=1)),
        "renew its certificate, which ended at 2026-11-01 12:00 UTC",
    ),
    (probe(ProbeState.UNAUTHORIZED, reason="cannot read it: 401; log in to m.lan"), "on web-1: log in to m.lan"),
]


@pytest.mark.parametrize(("row", "remedy"), LOOKED_AT)
def test_what_to_do_about_a_mirror_names_the_host_and_the_mirror(row: ProbeRow, remedy: str) -> None:
    """And a certificate that ended is told of once, with what really helps."""
    (found,) = judge(Facts(now=NOON, probes=[row]))
    assert found.remedy.startswith(remedy)
    assert "; " not in found.text, "what to do is said once"


def test_a_certificate_that_ended_and_goes_unchecked_has_expired() -> None:
    (found,) = judge(Facts(now=NOON, probes=[probe(ProbeState.OK, tls_not_after=NOON - timedelta(days=1))]))
    assert (found.code, "expired at 2026-11-01" in found.text) == ("mirror-tls-expires", True)


def test_a_mirror_that_gave_wrong_bytes_is_an_error() -> None:
    liar = Liar(mirror="http://liar.lan", pulls=2, host="web-1", more_hosts=True)
    (found,) = judge(Facts(now=NOON, liars=[liar]))
    assert (found.code, found.severity, found.subject) == ("mirror-wrong-bytes", Severity.ERROR, "http://liar.lan")
    assert "wrong bytes in 2 pulls since yesterday, to web-1 and other hosts" in found.text
    assert "fleet history mirrors http://liar.lan" in found.remedy
    (audited,) = audit_mirrors([host("web-1")], [], [liar])
    assert (audited.host, audited.code, audited.failed) == ("web-1", "mirror-wrong-bytes", True)


def test_the_audit_has_the_doctors_codes() -> None:
    states = [state for state in ProbeState if state not in (ProbeState.OK, ProbeState.LIMITED)]
    found = audit_mirrors([host("web-1")], [probe(state) for state in states])
    assert {f.code for f in found} <= {kind.code for kind in CATALOGUE}


def test_the_log_says_once_what_begins_and_what_ends(caplog: pytest.LogCaptureFixture) -> None:
    """In the words of the catalogue, as loud as it is severe."""
    caplog.set_level(logging.INFO)
    (down,) = judge(Facts(now=NOON, hosts=[host()], probes=[probe(ProbeState.DOWN)]))
    told = ConditionLog()
    for holding in ([down], [down], []):
        told.tell(holding)
    first, last = caplog.records
    assert (first.message, first.levelname, last.message) == ("condition began", "WARNING", "condition ended")
    assert (vars(first)["code"], vars(first)["subject"]) == ("mirror-down", "https://m.lan")
    assert vars(first)["remedy"] == down.remedy
    assert vars(last)["code"] == "mirror-down"


def test_a_certificate_is_told_of_two_weeks_before_it_expires() -> None:
    for days, expected in ((15, []), (13, ["mirror-tls-expires"])):
        row = probe(ProbeState.OK, tls_not_after=NOON + timedelta(days=days))
        assert [c.code for c in judge(Facts(now=NOON, probes=[row]))] == expected


def test_a_rate_limit_that_is_nearly_used_up_is_told_while_its_window_lasts() -> None:
    row = LimitRow(endpoint="https://hub", limit=100, remaining=9, window_s=3600, source="", seen_at=NOON)
    assert codes(Facts(now=NOON, limits=[row])) == [("rate-limit-low", "https://hub")]
    assert codes(Facts(now=NOON, limits=[replace(row, remaining=10)])) == []
    assert codes(Facts(now=NOON + timedelta(hours=1), limits=[row])) == []


def test_a_rate_of_falling_back_is_told_of_many_pulls_only() -> None:
    day = MirrorDay(
        mirror="m",
        day="2026-11-02",
        pulls=20,
        served=20,
        failures=0,
        passed_over=0,
        fallbacks=2,
        bytes=0,
        duration_ms=0,
        requests=0,
    )
    assert codes(Facts(now=NOON, mirror_days=[day])) == [("fallback-rate", "centre")]
    assert codes(Facts(now=NOON, mirror_days=[replace(day, fallbacks=1)])) == []
    assert codes(Facts(now=NOON, mirror_days=[replace(day, served=19)])) == []


def test_a_tag_that_went_back_is_told_as_that_alone() -> None:
    row = TagRow(
        image="a/b:1",
        digest="d",
        endpoint="",
        reason="cannot follow it back",
        resolved_at=NOON,
        checked_at=NOON,
        leased_until=None,
        refused_digest="e",
    )
    assert codes(Facts(now=NOON, tags=[row])) == [("tag-went-back", "a/b:1")]


def test_the_audit_fails_on_what_must_not_stay_so() -> None:
    hole = "daemon-hub-unchecked: cannot trust this daemon's own pulls"
    rows = [host("a", problems=(hole, "engine-away: cannot reach it")), host("b"), host("c")]
    found = audit_mirrors(rows, [probe(ProbeState.STALE, "b"), probe(ProbeState.DOWN, "c"), probe(ProbeState.OK, "a")])
    assert [(f.host, f.code, f.failed) for f in found] == [
        ("a", "daemon-hub-unchecked", True),
        ("b", "mirror-stale", True),
        ("c", "mirror-down", False),
    ]


def test_the_audit_names_hosts_whose_mirrors_differ_from_those_of_most() -> None:
    odd = [{"for_registry": "*", "endpoint": {"scheme": "https", "host": "m.lan"}, "provenance": "daemon"}]
    found = audit_mirrors([host("a"), host("b"), host("c", mirrors=tuple(odd))], [])
    assert [(f.host, f.code) for f in found] == [("c", "mirror-order")]
    assert "https://m.lan" in found[0].text
