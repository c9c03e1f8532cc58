"""Asks a container whether it answers, where a label says what to ask: ``fleet.probe.tcp`` or ``fleet.probe.http``.

A probe names a port and a path, never a machine: what is asked is the container itself, so that no label can point
the agent elsewhere.
"""

import http.client
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fleet.engine.protocol import Inspect
from fleet.errors import BadInput

TCP_LABEL = "fleet.probe.tcp"
"""A port that must accept a connection: ``5432``."""
HTTP_LABEL = "fleet.probe.http"
"""A port, and a path whose answer must be a 2xx or 3xx: ``8080/health``."""
PATIENCE_S = 2.0
"""How long one place may take to answer; the wait of the verification is made of many such tries."""
_HTTP = re.compile(r"(?P<port>\d{1,5})(?P<path>/[!-~]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What is asked of a container."""

    port: int
    """The port inside the container."""
    path: str = ""
    """The path of an HTTP request; empty where a connection is enough."""

    def __str__(self) -> str:
        return f"HTTP probe of {self.port}{self.path}" if self.path else f"TCP probe of port {self.port}"


Ask = Callable[[Probe, Inspect], str]
"""Asks one probe of a container once; returns empty, or why it is not good."""


def probes_of(labels: Mapping[str, str]) -> tuple[Probe, ...]:
    """Return the probes that *labels* ask for; raise BadInput where one cannot be read."""
    found = []
    if TCP_LABEL in labels:
        found.append(Probe(port=_port(TCP_LABEL, labels[TCP_LABEL].strip())))
    if HTTP_LABEL in labels:
        parts = _HTTP.fullmatch(labels[HTTP_LABEL].strip())
        if parts is None:
            raise BadInput(f"cannot read the label {HTTP_LABEL}: it takes a port and a path, as 8080/health")
        found.append(Probe(port=_port(HTTP_LABEL, parts["port"]), path=parts["path"] or "/"))
    return tuple(found)


def places(inspect: Inspect, port: int) -> Iterator[tuple[str, int]]:
    """Yield where *port* of the container may be reached from this host: its own addresses, then where it is published."""
    settings: Mapping[str, Any] = inspect.get("NetworkSettings") or {}
    if inspect["HostConfig"].get("NetworkMode") == "host":
        yield "127.0.0.1", port
    for network in (settings.get("Networks") or {}).values():
        if network.get("IPAddress"):
            yield str(network["IPAddress"]), port
    for row in (settings.get("Ports") or {}).get(f"{port}/tcp") or ():
        anywhere = row.get("HostIp") in ("", "0.0.0.0", "::", None)  # noqa: S104 - read, never bound
        yield "127.0.0.1" if anywhere else str(row["HostIp"]), int(row["HostPort"])


def ask(probe: Probe, inspect: Inspect) -> str:
    """Ask *probe* once at each place until one is good; return empty, or what the last one said."""
    reason = "the container has no address that this host reaches"
    for place in places(inspect, probe.port):
        try:
            reason = _ask_http(place, probe.path) if probe.path else _ask_tcp(place)
        except (OSError, http.client.HTTPException) as error:
            reason = f"{place[0]}:{place[1]} does not answer: {str(error) or type(error).__name__}"
        if not reason:
            return ""
    return reason


def _ask_tcp(place: tuple[str, int]) -> str:
    socket.create_connection(place, timeout=PATIENCE_S).close()
    return ""


def _ask_http(place: tuple[str, int], path: str) -> str:
    connection = http.client.HTTPConnection(*place, timeout=PATIENCE_S)
    try:
        connection.request("GET", path, headers={"User-Agent": "fleet-probe"})
        status = connection.getresponse().status
    finally:
        connection.close()
    return "" if 200 <= status < 400 else f"it answered with status {status}"


def _port(name: str, text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) <= 65535:
        return int(text)
    raise BadInput(f"cannot read the label {name}: {text!r} is not a port")
