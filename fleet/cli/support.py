"""``fleet support-bundle``: what somebody who shall help needs to see, in one file, and no secret in it."""

import io
import json
import os
import platform
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from fleet.cli.console import print_json, say, working
from fleet.cli.session import Leaf, Session, pass_session
from fleet.errors import AuthNeeded, BadInput, FleetError, Refused, Unreachable

if TYPE_CHECKING:
    from fleet.client import Client

Query = tuple[tuple[str, str], ...]

ASKED: dict[str, tuple[str, Query]] = {
    "doctor": ("/doctor", ()),
    "hosts": ("/hosts", ()),
    "containers": ("/containers", ()),
    "outdated": ("/outdated", ()),
    "mirrors": ("/mirrors", ()),
    "mirror-audit": ("/mirrors/audit", ()),
    "policies": ("/policies", ()),
    "schedules": ("/schedules", ()),
    "stops": ("/stops", ()),
    "caps": ("/caps", ()),
    "rollouts": ("/rollouts", (("limit", "50"),)),
    "failures": ("/history", (("q", "outcome:failure"), ("limit", "200"))),
    "durations": ("/history/durations", ()),
    "audit": ("/audit", (("limit", "200"),)),
}
"""What the server is asked, by the name of its file; nothing of it changes anything."""
HIDDEN = "(hidden)"
_SECRETS = (
    (re.compile(r"(?<=://)[^/\s@\"']+(?=@)"), HIDDEN),  # the login in a URL
    (re.compile(r"(https?://[^\s\"'?]+)\?[^\s\"']+"), rf"\1?{HIDDEN}"),  # what signed URLs carry
    (re.compile(r"\bfpat_[\w-]+"), f"fpat_{HIDDEN}"),
    (re.compile(r"(?i)(authorization\W{1,4}(?:bearer|basic)) [\w.~+/=-]+"), rf"\1 {HIDDEN}"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.S), HIDDEN),
)


@click.command("support-bundle", cls=Leaf)
@click.option("--out", type=click.Path(), help="Where to write it; by default fleet-support-TIME.tar.gz here.")
@pass_session
def support_bundle(session: Session, out: str | None) -> None:
    """Write what somebody who shall help needs to see into one file: versions, settings, doctor, hosts, failures.

    It is made of what the API tells and what fleet config shows: no secret, no log, no value of an environment variable
    of a container. Names of hosts, images, people and mirrors are in it. Nothing is sent anywhere.
    """
    path = Path(out or f"fleet-support-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    with _new(path) as file, working(session, "gathering"):
        absent = _gather(session, file, path.name.removesuffix(".tar.gz"))
    for name in absent:
        say(f"could not be had, and says why instead: {name}.json")
    if session.json:
        print_json({"schema": "v1", "file": str(path), "absent": absent})
    else:
        click.echo(f"written: {path}")
        say("look through it before you give it to anybody: names of hosts, images, people and mirrors are in it")


def _gather(session: Session, file: BinaryIO, folder: str) -> list[str]:
    """Write all that can be had; return the names of what could not."""
    absent = []
    with tarfile.open(fileobj=file, mode="w:gz") as bundle:
        for name, told in (*_here(), *_told(session)):
            if isinstance(told, FleetError):
                absent.append(name)
            _put(bundle, f"{folder}/{name}.json", {"error": str(told)} if isinstance(told, FleetError) else told)
    return absent


def redacted(value: Any) -> Any:
    """Return a document without what looks like a secret in any of its texts."""
    if isinstance(value, dict):
        return {redacted(key): redacted(each) for key, each in value.items()}
    if isinstance(value, list):
        return [redacted(each) for each in value]
    if isinstance(value, str):
        for pattern, instead in _SECRETS:
            value = pattern.sub(instead, value)
    return value


def _here() -> Iterator[tuple[str, Any]]:
    """Yield what this machine says of itself."""
    from dataclasses import asdict
    from importlib.metadata import distributions

    from fleet.settings import origins
    from fleet.settings.agent import AgentSettings
    from fleet.settings.centre import CentreSettings

    yield (
        "about",
        {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "system": platform.platform(),
            "python": platform.python_version(),
            "packages": dict(sorted((each.name, each.version) for each in distributions())),
        },
    )
    for name, kind in (("config-centre", CentreSettings), ("config-agent", AgentSettings)):
        try:
            yield name, [asdict(each) for each in origins.settings(kind)]
        except FleetError as error:
            yield name, error


def _told(session: Session) -> Iterator[tuple[str, Any]]:
    """Yield what the server tells; where it cannot be asked at all, once why."""
    try:
        with session.client() as client:
            yield from _answers(client)
    except (Unreachable, AuthNeeded, BadInput) as error:
        yield "server", error


def _answers(client: "Client") -> Iterator[tuple[str, Any]]:
    from fleet.api.paths import PREFIX
    from fleet.client.calls import PLAN_TIMEOUT_S

    yield "server", {"address": str(client.address), **client.health().document()}
    for name, (path, query) in ASKED.items():
        try:
            yield name, json.loads(client.call("GET", PREFIX + path, list(query), None, timeout=PLAN_TIMEOUT_S))
        except FleetError as error:
            yield name, error


def _put(bundle: tarfile.TarFile, name: str, document: Any) -> None:
    data = json.dumps(redacted(document), indent=2, ensure_ascii=False).encode()
    about = tarfile.TarInfo(name)
    about.size, about.mode, about.mtime = len(data), 0o600, int(datetime.now(UTC).timestamp())
    bundle.addfile(about, io.BytesIO(data))


@contextmanager
def _new(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is not there yet, for its owner alone; where it cannot be filled, it is gone again."""
    try:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError:
        raise Refused(f"cannot overwrite {path}; name another with --out") from None
    except OSError as e:
        raise BadInput(f"cannot write {path}: {e.strerror}; name a file in a folder that is there, with --out") from e
    try:
        with file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise
