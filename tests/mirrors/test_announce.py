"""What an agent says of its host's mirrors in its log when it starts."""

import logging

import pytest

from fleet.mirrors.announce import CONFIGURED, announce
from fleet.mirrors.endpoint import parse_endpoint
from fleet.mirrors.source import MirrorRule, Provenance
from fleet.mirrors.sources import HostMirrors


def test_mirrors_are_named_with_their_file_and_what_is_wrong_with_them_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rule = MirrorRule(
        for_registry="docker.io",
        endpoint=parse_endpoint("https://cache.lan"),
        provenance=Provenance.HOSTS_TOML,
        where="/etc/docker/certs.d/docker.io/hosts.toml",
    )
    problem = "hosts-toml-broken: cannot read x: it is not TOML"
    with caplog.at_level(logging.INFO, logger="fleet"):
        announce(HostMirrors(rules=(rule,), insecure=("reg.lan",), problems=(problem,)))
    said, warned = caplog.records
    assert (said.levelname, said.message) == ("INFO", CONFIGURED)
    assert said.__dict__["mirrors"] == ["docker.io -> https://cache.lan (/etc/docker/certs.d/docker.io/hosts.toml)"]
    assert said.__dict__["insecure"] == ["reg.lan"]
    assert warned.levelname == "WARNING"
    assert (warned.__dict__["code"], warned.__dict__["reason"]) == (
        "hosts-toml-broken",
        "cannot read x: it is not TOML",
    )
