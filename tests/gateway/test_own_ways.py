"""A mirror with a login or a proxy of its own, and mirrors in the order of their speed, through a gateway."""

import base64
import json
from pathlib import Path

import pytest

from fleet.mirrors.attempt import Attempt
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.table import MirrorTable
from fleet.registry import named
from fleet.registry.credentials import Credentials
from fleet.testing.gatekeeper import Access, Gatekeeper
from tests.gateway.harbour import Harbour, served


def pull(harbour: Harbour, table: MirrorTable) -> tuple[Attempt, ...]:
    """Pull by the mirrors of *table*; return who gave what."""
    session = harbour.gateway.open(harbour.reference, harbour.digest, table)
    try:
        harbour.dock(session).pull(session.name, str(harbour.digest))
    finally:
        harbour.gateway.end(session)
    return session.attempts()


def table(harbour: Harbour, **more: str) -> MirrorTable:
    """Return the mirrors, of which the first is asked as *more* says."""
    one, two = harbour.mirrors
    return MirrorTable.of(parse_mirrors([{"url": one.url, **more}, {"url": two.url}]))


def test_the_fastest_mirror_serves_and_the_others_follow(harbour: Harbour) -> None:
    one, two = harbour.mirrors
    rules = parse_mirrors([{"url": one.url}, {"url": two.url}])
    attempts = pull(harbour, MirrorTable.of(rules, speeds={two.url: 2_000_000, one.url: 1_000_000}))
    assert [(a.source, str(a.result)) for a in attempts[:2]] == [(two.url, "served"), (one.url, "unused")]
    assert served(one) == 0


def test_a_mirror_is_shown_the_login_that_its_policy_names(
    harbour: Harbour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the others are not."""
    one, two = harbour.mirrors
    monkeypatch.setattr(named, "LOGINS", tmp_path / "logins")
    folder = tmp_path / "logins" / "build"
    folder.mkdir(parents=True)
    auth = base64.b64encode(b"robot:s3cret").decode()
    (folder / "config.json").write_text(json.dumps({"auths": {one.host: {"auth": auth}, two.host: {"auth": auth}}}))
    for mirror in (one, two):
        mirror.gatekeeper = Gatekeeper(Access(scheme="basic", username="robot", password="s3cret"))
    attempts = pull(harbour, table(harbour, auth="build"))
    assert [str(a.result) for a in attempts] == ["served", "unused", "unused"]
    one.gatekeeper = Gatekeeper(Access(scheme="basic", username="robot", password="changed"))
    attempts = pull(harbour, table(harbour))
    assert [str(a.result) for a in attempts] == ["unauthorized", "unauthorized", "served"]
    assert not any("authorization" in entry.headers for entry in two.log), "it has no login by its policy"


def test_a_mirror_without_a_login_is_shown_none(harbour: Harbour) -> None:
    one, _ = harbour.mirrors
    one.gatekeeper = Gatekeeper(Access(scheme="basic", username="robot", password="s3cret"))
    harbour.logins.by_host[one.host] = Credentials(username="robot", password="s3cret")
    attempts = pull(harbour, table(harbour, auth="none"))
    assert [str(a.result) for a in attempts] == ["unauthorized", "served", "unused"]
    assert not any("authorization" in entry.headers for entry in one.log)


def test_a_mirror_behind_a_proxy_serves(harbour: Harbour) -> None:
    """The mirror's name is known to the proxy alone, and no other source goes by it."""
    proxy, two = harbour.mirrors
    rules = parse_mirrors([{"url": "http://mirror.nowhere.test", "proxy": proxy.url}, {"url": two.url}])
    attempts = pull(harbour, MirrorTable.of(rules))
    assert [str(a.result) for a in attempts] == ["served", "unused", "unused"]
    assert {entry.headers["host"] for entry in proxy.log} == {"mirror.nowhere.test"}


def test_a_mirror_whose_proxy_this_host_does_not_know_costs_one_try(
    harbour: Harbour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not asked by another way, its breaker opens, and the reason says what to write where."""
    monkeypatch.setattr(named, "PROXIES", tmp_path)
    one, _ = harbour.mirrors
    first, *_ = pull(harbour, table(harbour, proxy="site"))
    assert (str(first.result), first.requests, served(one)) == ("unreachable", 1, 0)
    assert f"cannot find the proxy site here; write its URL into {tmp_path}/site" in first.reason
    again, *_ = pull(harbour, table(harbour, proxy="site"))
    assert str(again.result) == "breaker_open"
