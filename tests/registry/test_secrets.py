"""No secret is ever seen: not in a repr, an error, a log line, or a request to somebody else."""

import asyncio
import base64
import json
import logging
import traceback
from pathlib import Path

import pytest

from fleet.errors import FleetError
from fleet.registry.credentials import Credentials, DockerConfig
from fleet.registry.faults import redacted
from fleet.testing.faults import Fault
from fleet.testing.gatekeeper import Access
from fleet.testing.registry import ScriptedRegistry
from tests.registry.asking import QUICK, address_of, resolving, with_client

SECRET = "correct-horse-battery"
PACKED = base64.b64encode(f"ann:{SECRET}".encode()).decode()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Name a place for a config.json."""
    return tmp_path / "config.json"


def log_in(config: Path, host: str, **entry: str) -> DockerConfig:
    """Write a login for *host* and read it."""
    config.write_text(json.dumps({"auths": {host: entry or {"auth": PACKED}}}))
    return DockerConfig.load(config)


def test_reprs_hide_what_they_hold(config: Path) -> None:
    """Credentials and configuration name the user or file at most."""
    credentials = Credentials(username="ann", password=SECRET, identity_token=SECRET, registry_token=SECRET)
    assert SECRET not in repr(credentials) + str(credentials)
    assert "ann" in repr(credentials)
    assert SECRET not in repr(log_in(config, "a.lan"))
    assert SECRET not in repr(Access(password=SECRET, identity_token=SECRET))


def test_urls_are_cut_to_what_may_be_read() -> None:
    """User, password, query and fragment are gone; what is no URL is not quoted."""
    assert redacted(f"https://ann:{SECRET}@h:1/p?sig={SECRET}#{SECRET}") == "https://h:1/p"
    assert redacted(f"http://[{SECRET}") == "an unreadable URL"


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
@pytest.mark.parametrize(
    "entry", [{"auth": PACKED}, {"identitytoken": SECRET}, {"registrytoken": SECRET}], ids=["user", "identity", "token"]
)
@pytest.mark.parametrize(
    "fault", [Fault.STATUS, Fault.CLOSE, Fault.HANG, Fault.REDIRECT_LOOP, Fault.OTHER_MANIFEST, None]
)
def test_whatever_fails_says_no_secret(
    scheme: str, entry: dict[str, str], fault: Fault | None, config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each way of failing, with each kind of login: text, cause, traceback and every log line are clean."""
    access = Access(scheme=scheme, username="ann", password=SECRET if fault else "another")
    with ScriptedRegistry(access=access) as registry, caplog.at_level(logging.DEBUG):
        registry.shelf.add_image("org/app", "1")
        if fault:
            registry.faults.add(fault)
        credentials = log_in(config, registry.host, **entry)
        try:
            with_client(address_of(registry), resolving("org/app:1"), credentials=credentials, patience=QUICK)
            said = ""
        except FleetError as error:
            said = "".join(traceback.format_exception(error)) + repr(error)
    lines = " ".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    for secret in (SECRET, PACKED):
        assert secret not in said
        assert secret not in lines


def test_a_failing_program_says_no_secret(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a credential program printed before it failed is not repeated."""
    script = tmp_path / "docker-credential-chatty"
    script.write_text(f"#!/bin/sh\necho {SECRET}\necho {SECRET} >&2\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    config.write_text(json.dumps({"credsStore": "chatty"}))
    with caplog.at_level(logging.DEBUG):
        assert asyncio.run(DockerConfig.load(config).for_host("a.lan")) is None
    assert SECRET not in " ".join(str(vars(record)) for record in caplog.records)
    assert "status 3" in str([vars(record).get("reason") for record in caplog.records])


def test_a_broken_configuration_is_not_quoted(config: Path) -> None:
    """The error names the file and nothing of what stands in it, also further down its causes."""
    config.write_text(f'{{"auths": {{"a.lan": {{"auth": "{PACKED}"')
    with pytest.raises(FleetError) as caught:
        DockerConfig.load(config)
    assert PACKED not in "".join(traceback.format_exception(caught.value))
