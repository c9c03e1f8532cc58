"""What a ``daemon.json`` of the Docker daemon says about mirrors, and what is wrong with it (pure)."""

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fleet.errors import BadInput
from fleet.mirrors.endpoint import daemon_endpoint
from fleet.mirrors.policy import GLOBAL
from fleet.mirrors.source import MirrorRule, Provenance
from fleet.registry.address import origin_address

MIRRORS = "registry-mirrors"
INSECURE = "insecure-registries"
REGISTRIES = "registries"
"""A key that Watchtower's documentation shows, and that no Docker daemon takes: it refuses to start."""

_HOST = re.compile(
    r"\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*\.?"
)
_LAST_PORT = 65_535
_VALIDATE = "correct it, the daemon does not start with it; see: dockerd --validate --config-file"
_LONGEST = 800
"""The most characters of a translation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonFile:
    """What one ``daemon.json`` says."""

    rules: tuple[MirrorRule, ...] = ()
    mirrors: tuple[str, ...] | None = None
    """``registry-mirrors`` as the daemon spells them in ``GET /info``; None where the key is missing."""
    lists_insecure: bool = False
    """Whether ``insecure-registries`` is there at all."""
    insecure: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """Lines ``code: cannot ...``."""


def read_daemon_file(content: bytes, where: str) -> DaemonFile:
    """Read the bytes of the file *where*; what is broken in it is told as a problem, never raised."""
    try:
        document = parse_json(content)
    except BadInput as error:
        return DaemonFile(problems=(f"daemon-json-broken: cannot read {where}: {error}; {_VALIDATE} {where}",))
    problems: list[str] = []
    if document.get(REGISTRIES):
        problems.append(
            f"daemon-registries-key: cannot honour {REGISTRIES} in {where}: no Docker daemon knows that key, and it"
            " will not start with it; take it out there, and write into /etc/fleet/mirrors.json:"
            f" {json.dumps({REGISTRIES: document[REGISTRIES]})[:_LONGEST]}"
        )
    mirrors = _strings(document, MIRRORS, where, problems)
    insecure = insecure_list(_strings(document, INSECURE, where, problems) or (), where, problems)
    rules = daemon_rules(mirrors or (), insecure, where, Provenance.DAEMON_FILE, problems)
    spelled = None if mirrors is None else tuple(dict.fromkeys(map(spelling, mirrors)))
    return DaemonFile(
        rules=rules, mirrors=spelled, insecure=insecure, lists_insecure=INSECURE in document, problems=tuple(problems)
    )


def daemon_rules(
    urls: tuple[str, ...], insecure: tuple[str, ...], where: str, provenance: Provenance, problems: list[str]
) -> tuple[MirrorRule, ...]:
    """Return the global mirrors that *urls* are; one that cannot be used is added to *problems* and left out."""
    rules: list[MirrorRule] = []
    for url in urls:
        try:
            endpoint = daemon_endpoint(url)
        except BadInput as error:
            problems.append(f"daemon-mirror-unusable: {error} (in {where})")
            continue
        if trusted_blindly(endpoint.host, insecure):
            endpoint = daemon_endpoint(url, insecure=True)
        rules.append(MirrorRule(for_registry=GLOBAL, endpoint=endpoint, provenance=provenance, where=where))
    return tuple(rules)


def insecure_list(names: Iterable[str], where: str, problems: list[str]) -> tuple[str, ...]:
    """Return *names* as they are matched; what keeps the daemon from starting is added to *problems* and left out."""
    found: list[str] = []
    for name in names:
        plain = plain_registry(name)
        if is_registry(plain):
            found.append(plain)
        else:
            problems.append(
                f"daemon-insecure-unusable: cannot use {name[:80]!r} of {INSECURE} in {where}; the daemon will not"
                " start with it; write a host with its port where it has one, or a network"
            )
    return tuple(found)


def is_registry(name: str) -> bool:
    """Tell whether the daemon takes *name*, without a scheme, as an insecure registry: a host, or a network."""
    try:
        return bool(ipaddress.ip_network(name, strict=False))
    except ValueError:
        pass
    if name.startswith("-") or name.endswith("-"):
        return False
    host, colon, port = name.rpartition(":")
    if not colon or not port.isdigit():
        return bool(_HOST.fullmatch(name))
    return int(port) <= _LAST_PORT and bool(_HOST.fullmatch(host))


def trusted_blindly(host: str, insecure: tuple[str, ...]) -> bool:
    """Tell whether the daemon takes any certificate of *host*: it is listed as insecure, or on loopback."""
    return origin_address(host, insecure=insecure).insecure


def parse_json(content: bytes) -> Mapping[str, Any]:
    """Return the JSON object in *content*, with or without a byte order mark; raise BadInput without "cannot"."""
    try:
        text = content.decode(_encoding(content))
        document = json.loads(text) if text.strip() else {}
    except UnicodeDecodeError as error:
        raise BadInput("it is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise BadInput(f"it is not JSON (line {error.lineno}: {error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise BadInput("it is not JSON") from error
    if not isinstance(document, dict):
        raise BadInput("it is not a JSON object")
    return document


def spelling(url: str) -> str:
    """Return a mirror's URL as the daemon reports it: with one slash at the end."""
    return f"{url.strip().rstrip('/')}/"


def plain_registry(name: str) -> str:
    """Return an entry of ``insecure-registries`` without the scheme that the daemon forgives, in lower case."""
    name = name.strip().lower()
    return name.removeprefix("http://").removeprefix("https://").rstrip("/") if "://" in name else name


def _encoding(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    return "utf-8-sig"


def _strings(document: Mapping[str, Any], key: str, where: str, problems: list[str]) -> tuple[str, ...] | None:
    value = document.get(key)
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    problems.append(f"daemon-json-broken: cannot use {key} in {where}: it is no list of strings; {_VALIDATE} {where}")
    return None
