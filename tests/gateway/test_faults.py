"""Every way for a mirror to do wrong, once through the gateway: the engine gets the right bytes, in time, and we know from whom."""

import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest

from fleet.images.digest import Digest
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.table import MirrorTable
from fleet.testing.faults import Fault
from tests.gateway.docking import PullFailed
from tests.gateway.harbour import HANG_S, HANGING, LAYERS, PATIENT, Harbour, served

ONE_FAULT_S = 2 * HANG_S + 10.0
"""First byte and silence, and a margin for a busy machine; still less than the patience with what does not hang."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fault of the first mirror."""

    name: str
    fault: Fault
    rule: Mapping[str, Any]
    result: str
    """What the first mirror's attempt says."""
    exact: bool = True
    """Whether every byte that the mirror sent was of use, so that both accounts agree."""
    next: bool = True
    """Whether the second mirror had to help."""
    twice: bool = False
    """Whether bytes had to be fetched twice to find out who lied."""

    @property
    def waits(self) -> bool:
        """Whether the gateway finds out by waiting."""
        return self.result in ("timeout", "stalled", "slow")


CASES = [
    Case(name="closes at once", fault=Fault.CLOSE, rule={}, result="cut"),
    Case(name="hangs on manifests", fault=Fault.HANG, rule={"kind": "manifests"}, result="timeout"),
    Case(name="hangs on blobs", fault=Fault.HANG, rule={"kind": "blobs"}, result="timeout"),
    Case(name="answers late, in time", fault=Fault.DELAY, rule={"seconds": 0.2}, result="served", next=False),
    Case(name="answers too late", fault=Fault.DELAY, rule={"seconds": 600.0}, result="timeout", exact=False),
    Case(name="manifest 401", fault=Fault.STATUS, rule={"kind": "manifests", "status": 401}, result="unauthorized"),
    Case(name="manifest 403", fault=Fault.STATUS, rule={"kind": "manifests", "status": 403}, result="unauthorized"),
    Case(name="manifest 404", fault=Fault.STATUS, rule={"kind": "manifests", "status": 404}, result="not_found"),
    Case(name="manifest 500", fault=Fault.STATUS, rule={"kind": "manifests", "status": 500}, result="server_error"),
    Case(name="manifest 503", fault=Fault.STATUS, rule={"kind": "manifests", "status": 503}, result="server_error"),
    Case(name="manifest 429", fault=Fault.STATUS, rule={"kind": "manifests", "status": 429}, result="rate_limited"),
    Case(
        name="manifest 429 with a rest",
        fault=Fault.STATUS,
        rule={"kind": "manifests", "status": 429, "retry_after": "60"},
        result="rate_limited",
    ),
    Case(name="blob 401", fault=Fault.STATUS, rule={"kind": "blobs", "status": 401}, result="unauthorized"),
    Case(name="blob 403", fault=Fault.STATUS, rule={"kind": "blobs", "status": 403}, result="unauthorized"),
    Case(name="blob 404", fault=Fault.STATUS, rule={"kind": "blobs", "status": 404}, result="not_found"),
    Case(name="blob 429", fault=Fault.STATUS, rule={"kind": "blobs", "status": 429}, result="rate_limited"),
    Case(
        name="blob 429 with a rest",
        fault=Fault.STATUS,
        rule={"kind": "blobs", "status": 429, "retry_after": "60"},
        result="rate_limited",
    ),
    Case(name="blob 500", fault=Fault.STATUS, rule={"kind": "blobs", "status": 500}, result="server_error"),
    Case(name="blob 503", fault=Fault.STATUS, rule={"kind": "blobs", "status": 503}, result="server_error"),
    Case(
        name="stalls in a blob",
        fault=Fault.STALL,
        rule={"kind": "blobs", "at": 50_000, "tail": str(Digest.of(LAYERS[0]))},
        result="stalled",
        exact=False,  # The registry writes the request down when it ends, and this one has not.
    ),
    Case(name="stalls before the first byte", fault=Fault.STALL, rule={"kind": "blobs", "at": 0}, result="timeout"),
    Case(name="cuts every blob", fault=Fault.CUT, rule={"kind": "blobs", "at": 50_000}, result="cut"),
    Case(name="cuts one blob once", fault=Fault.CUT, rule={"kind": "blobs", "at": 9, "times": 1}, result="cut"),
    Case(name="cuts manifests", fault=Fault.CUT, rule={"kind": "manifests", "at": 10}, result="cut", exact=False),
    Case(name="sends headers and no body", fault=Fault.ZERO_BYTES, rule={"kind": "blobs"}, result="cut"),
    Case(name="is slow", fault=Fault.SLOW, rule={"kind": "blobs", "rate": 10_000}, result="slow", exact=False),
    Case(name="serves wrong blobs", fault=Fault.WRONG_BYTES, rule={"kind": "blobs"}, result="wrong_bytes", exact=False),
    Case(
        name="serves wrong manifests",
        fault=Fault.WRONG_BYTES,
        rule={"kind": "manifests"},
        result="wrong_bytes",
        exact=False,
    ),
    Case(
        name="serves another manifest",
        fault=Fault.OTHER_MANIFEST,
        rule={"kind": "manifests"},
        result="wrong_bytes",
        exact=False,
    ),
    Case(
        name="begins wrongly and cuts",
        fault=Fault.WRONG_PREFIX,
        rule={"kind": "blobs", "at": 40_000},
        result="wrong_bytes",
        exact=False,
        twice=True,
    ),
    Case(name="has a stale tag", fault=Fault.STALE_TAG, rule={}, result="served", next=False),
    Case(name="names no digest", fault=Fault.NO_DIGEST, rule={}, result="served", next=False),
    Case(name="names a wrong digest", fault=Fault.LYING_DIGEST, rule={}, result="served", next=False),
    Case(name="knows no HEAD", fault=Fault.NO_HEAD, rule={}, result="served", next=False),
    Case(name="announces no size", fault=Fault.CHUNKED, rule={}, result="served", next=False),
    Case(name="labels bytes as gzip", fault=Fault.ENCODED, rule={"kind": "blobs"}, result="served", next=False),
    Case(name="redirects for ever", fault=Fault.REDIRECT_LOOP, rule={}, result="protocol"),
    Case(
        name="redirects to a host that is not there",
        fault=Fault.REDIRECT,
        rule={"kind": "blobs", "location": "http://127.0.0.1:9"},
        result="unreachable",
    ),
    Case(
        name="sends without end", fault=Fault.ENDLESS, rule={"kind": "blobs"}, result="served", next=False, exact=False
    ),
    Case(
        name="sends a manifest without end",
        fault=Fault.ENDLESS,
        rule={"kind": "manifests"},
        result="protocol",
        exact=False,
    ),
]


def test_every_fault_is_tried_here_or_below() -> None:
    below = {Fault.DRIP, Fault.PAUSE, Fault.REDIRECT_TO_HTTP, Fault.NO_RANGE, Fault.TOKEN_EXPIRES}
    assert {case.fault for case in CASES} | below == set(Fault)


@pytest.mark.parametrize(
    ("case", "limits"), [pytest.param(case, HANGING if case.waits else PATIENT, id=case.name) for case in CASES]
)
def test_a_mirror_that(case: Case, harbour: Harbour) -> None:
    """The next source helps, the engine never sees a wrong byte, and the accounts agree."""
    first, second = harbour.mirrors
    first.faults.add(case.fault, **case.rule)
    began = time.monotonic()
    dock, attempts = harbour.pull()
    took = time.monotonic() - began
    assert attempts[0].result == case.result, attempts[0]
    assert took < ONE_FAULT_S
    assert set(LAYERS) <= set(dock.blobs.values())
    assert sum(attempt.bytes for attempt in attempts) == sum(map(len, dock.blobs.values()))
    assert attempts[1].result == ("served" if case.next else "unused")
    assert case.twice or attempts[1].bytes == served(second)
    if case.exact:
        assert attempts[0].bytes == served(first)
    assert harbour.origin.log == []


def test_a_refused_connection_costs_nothing(harbour: Harbour) -> None:
    with harbour.mirrors[0].down():
        began = time.monotonic()
        _, attempts = harbour.pull()
    assert [a.result for a in attempts] == ["unreachable", "served", "unused"]
    assert attempts[0].requests == 1
    assert time.monotonic() - began < PATIENT.patience.connect_s


@pytest.mark.parametrize(
    "limits", [pytest.param(replace(PATIENT, patience=replace(PATIENT.patience, connect_s=HANG_S)), id="connect")]
)
def test_a_black_hole_costs_the_time_to_connect_once(harbour: Harbour) -> None:
    """A listener that takes no connection and whose queue is full: no packet is answered, as by a machine that is off."""
    with ExitStack() as stack:
        hole = stack.enter_context(socket.socket())
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(hole.getsockname())
        rule = parse_mirrors([{"for": "*", "url": f"http://127.0.0.1:{hole.getsockname()[1]}"}])
        table = MirrorTable.of([*rule, *harbour.table.rules])
        for result in ("unreachable", "breaker_open"):
            session = harbour.gateway.open(harbour.reference, harbour.digest, table)
            began = time.monotonic()
            harbour.dock(session).pull(session.name, str(harbour.digest))
            took = time.monotonic() - began
            harbour.gateway.end(session)
            assert [a.result for a in session.attempts()] == [result, "served", "unused", "unused"]
            assert (took >= HANG_S) is (result == "unreachable")
            assert took < ONE_FAULT_S


@pytest.mark.parametrize(
    ("fault", "rule", "reason", "limits"),
    [
        pytest.param(Fault.WRONG_BYTES, {"kind": "blobs"}, "do not have the digest", PATIENT, id="serves wrong blobs"),
        pytest.param(Fault.STATUS, {"kind": "blobs", "status": 404}, "answered 404", PATIENT, id="has no blobs"),
        pytest.param(Fault.HANG, {"kind": "manifests"}, "within", HANGING, id="hangs on manifests"),
    ],
)
def test_an_only_source_that(harbour: Harbour, fault: Fault, rule: Mapping[str, Any], reason: str) -> None:
    """The pull fails and says why, and the engine has no layer."""
    harbour.mirrors.clear()
    harbour.origin.faults.add(fault, **rule)
    session, dock = harbour.open()
    with pytest.raises(PullFailed):
        dock.pull(session.name, str(harbour.digest))
    harbour.gateway.end(session)
    assert session.failure.startswith("cannot get the")
    assert harbour.origin.host in session.failure
    assert reason in session.failure
    assert not set(LAYERS) & set(dock.blobs.values())


@pytest.mark.parametrize("limits", [pytest.param(HANGING, id="hangs")])
def test_an_only_source_that_stalls_twice_fails_and_the_next_pull_goes_on_there(harbour: Harbour) -> None:
    harbour.mirrors.clear()
    big = str(Digest.of(LAYERS[0]))
    harbour.origin.faults.add(Fault.STALL, tail=big, at=100_000, times=2)
    session, dock = harbour.open()
    with pytest.raises(PullFailed):
        dock.pull(session.name, str(harbour.digest))
    harbour.gateway.end(session, kept=True)
    assert "stalled" in session.failure
    dock, attempts = harbour.pull()
    assert set(LAYERS) <= set(dock.blobs.values())
    asked = [entry.headers.get("range", "") for entry in harbour.origin.log if entry.tail == big]
    assert asked == ["", "bytes=100000-", "bytes=200000-"]
    assert attempts[0].result == "served"


def test_where_no_source_can_serve_the_failure_names_each(harbour: Harbour) -> None:
    """The engine gets no byte, and a person reads what each source did."""
    harbour.mirrors[0].faults.add(Fault.WRONG_BYTES, kind="blobs")
    harbour.mirrors[1].faults.add(Fault.STATUS, kind="blobs", status=404)
    harbour.origin.faults.add(Fault.STATUS, kind="blobs", status=403)
    session, dock = harbour.open()
    with pytest.raises(PullFailed):
        dock.pull(session.name, str(harbour.digest))
    harbour.gateway.end(session)
    assert session.failure.startswith("cannot get the layer")
    for registry, reason in zip([*harbour.mirrors, harbour.origin], ["digest", "404", "403"], strict=True):
        assert registry.host in session.failure
        assert reason in session.failure
    assert all(len(blob) < 70_000 for blob in dock.blobs.values())


@pytest.mark.parametrize("limits", [pytest.param(HANGING, id="hangs")])
def test_a_source_that_is_left_alone_is_told_of_without_the_image_that_it_failed_at(harbour: Harbour) -> None:
    one = harbour.mirrors[0]
    one.faults.add(Fault.HANG)
    harbour.pull()
    _, attempts = harbour.pull()
    assert attempts[0].result == "breaker_open"
    assert attempts[0].reason.startswith("not asked: it did not answer in time")
    assert "org/app" not in attempts[0].reason


def test_the_rest_that_a_server_error_asks_for_is_given(harbour: Harbour) -> None:
    one = harbour.mirrors[0]
    one.faults.add(Fault.STATUS, kind="manifests", status=503, retry_after="60", times=1)
    harbour.pull()
    asked = [entry for entry in one.log if entry.kind == "manifests"]
    assert len(asked) == 1


def test_server_errors_on_manifests_leave_the_layers_to_the_same_mirror(harbour: Harbour) -> None:
    one = harbour.mirrors[0]
    one.faults.add(Fault.STATUS, kind="manifests", status=503, retry_after="60")
    _, attempts = harbour.pull()
    assert attempts[0].bytes == served(one) > sum(map(len, LAYERS))
