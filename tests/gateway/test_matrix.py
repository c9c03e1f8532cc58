"""Every fault of the matrix on real engines is tried here, too, once, in the quick way: through a gateway over real sockets."""

import importlib

import pytest

from tests.gateway import test_faults
from tests.lab.fault_cases import CASES

_FAULTS = "test_faults.test_a_mirror_that"
_STATUSES = {
    f"{what}: {status}": f"{_FAULTS}[{what} {status}]"
    for what in ("manifest", "blob")
    for status in (401, 403, 404, 500, 503, 429)
}
TRIED = {
    "refuses connections": "test_faults.test_a_refused_connection_costs_nothing",
    "black hole": "test_faults.test_a_black_hole_costs_the_time_to_connect_once",
    "closes without an answer": f"{_FAULTS}[closes at once]",
    "manifest: hangs": f"{_FAULTS}[hangs on manifests]",
    "blob: hangs": f"{_FAULTS}[hangs on blobs]",
    "blob: stalls in the middle": f"{_FAULTS}[stalls in a blob]",
    "blob: the size of a chunk drips": "test_rude_mirrors.test_bytes_that_are_none_of_the_body_are_silence",
    "404, after eight seconds each": ("test_rude_mirrors.test_a_mirror_that_fails_after_a_long_time_costs_it_once"),
    "blob: 502, after eight seconds each": (
        "test_rude_mirrors.test_a_mirror_that_fails_after_a_long_time_costs_it_once"
    ),
    "blob: slower than the floor": f"{_FAULTS}[is slow]",
    "blob: cut in the middle, once": f"{_FAULTS}[cuts one blob once]",
    "blob: cut in the middle, always": f"{_FAULTS}[cuts every blob]",
    "blob: not one byte": f"{_FAULTS}[sends headers and no body]",
    "blob: wrong bytes of the right size": f"{_FAULTS}[serves wrong blobs]",
    "blob: wrong bytes, then cut": f"{_FAULTS}[begins wrongly and cuts]",
    "manifest: wrong bytes": f"{_FAULTS}[serves wrong manifests]",
    "manifest: another one under the right header": f"{_FAULTS}[serves another manifest]",
    "stale tag": f"{_FAULTS}[has a stale tag]",
    **_STATUSES,
    "manifest: 429, retry after a minute": f"{_FAULTS}[manifest 429 with a rest]",
    "blob: 429, retry after a minute": f"{_FAULTS}[blob 429 with a rest]",
    "no digest header": f"{_FAULTS}[names no digest]",
    "a wrong digest in the header": f"{_FAULTS}[names a wrong digest]",
    "HEAD: 405": f"{_FAULTS}[knows no HEAD]",
    "no sizes announced": f"{_FAULTS}[announces no size]",
    "blob: cut, and Range ignored": "test_resume.test_what_came_is_skipped_at_a_source_that_ignores_ranges",
    "blob: labelled as gzip": f"{_FAULTS}[labels bytes as gzip]",
    "blob: redirect to another host": "test_resume.test_bytes_are_fetched_from_where_a_mirror_sends",
    "redirect loop": f"{_FAULTS}[redirects for ever]",
    "blob: redirect to a host that is not there": f"{_FAULTS}[redirects to a host that is not there]",
    "blob: redirect from https to http": "test_resume.test_a_redirect_from_https_to_http_is_not_followed",
    "token from a foreign host": (
        "test_secrets.test_a_token_from_a_foreign_host_is_asked_for_without_the_mirrors_password"
    ),
    "token expires within a blob": "test_resume.test_a_token_that_ends_within_a_blob_is_renewed",
    "blob: without end": f"{_FAULTS}[sends without end]",
    "manifest: without end": f"{_FAULTS}[sends a manifest without end]",
    "self-signed certificate": "test_tls.test_a_mirror_over_tls",
    "expired certificate": "test_tls.test_a_mirror_whose_certificate_has_run_out",
    "a mirror that is this agent's own gateway": "test_gateway.test_a_mirror_that_is_this_gateway_is_left_out",
    "the agent is killed within a blob": "test_spool.test_an_agent_that_was_killed_goes_on_where_it_was",
    "no room in the spool": "test_gateway.test_a_disk_without_room_is_a_named_failure",
    "no other source, and wrong bytes of the right size": "test_faults.test_an_only_source_that[serves wrong blobs]",
    "no other source, and blobs: 404": "test_faults.test_an_only_source_that[has no blobs]",
    "no other source, and manifests hang": "test_faults.test_an_only_source_that[hangs on manifests]",
    "no other source, and blobs stall every 300 kB": (
        "test_faults.test_an_only_source_that_stalls_twice_fails_and_the_next_pull_goes_on_there"
    ),
}
"""Where each fault of the matrix, by its name there, is tried here."""


def test_the_matrix_and_these_tests_have_the_same_faults() -> None:
    assert TRIED.keys() == {case.name for case in CASES}


@pytest.mark.parametrize("where", TRIED.values())
def test_each_fault_is_tried_where_it_is_said_and_not_in_long_runs_alone(where: str) -> None:
    name, _, case = where.removesuffix("]").partition("[")
    file, _, function = name.partition(".")
    test = getattr(importlib.import_module(f"tests.gateway.{file}"), function)
    marks = {mark.name: mark for mark in getattr(test, "pytestmark", [])}
    assert not marks.keys() & {"full", "skip", "skipif", "lab"}
    if case:
        ids = [parameter.id for parameter in marks["parametrize"].args[1]]
        assert ids.count(case) == 1


def test_no_fault_is_tried_here_that_the_matrix_lacks() -> None:
    """But for what takes long and is no fault, and what strikes before the first byte in another way."""
    tried = {where.partition("[")[2].removesuffix("]") for where in TRIED.values() if where.startswith(_FAULTS)}
    more = {case.name for case in test_faults.CASES} - tried
    assert more == {"answers late, in time", "answers too late", "stalls before the first byte", "cuts manifests"}
