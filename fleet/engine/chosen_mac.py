"""The MAC address that the user chose for a container, where newer APIs leave it out of their inspect.

An engine that generates MAC addresses at random shows a chosen one just as a generated one. Its older API versions still
tell the one of the container's first network apart; of further networks no version does.
"""

from collections.abc import Callable
from http import HTTPStatus

from fleet.engine.networks import is_alone, version_of
from fleet.engine.protocol import Inspect
from fleet.errors import EngineError

LEFT_OUT, TOLD = (1, 52), "1.51"
"""The first API version whose inspect leaves it out, and the last one that has it."""
MOST_KNOWN = 10_000
"""Of how many starts of containers it is remembered: one that runs is asked about once."""


class ChosenMacs:
    """What was told of containers that run, by their present endpoints; not safe for several threads."""

    def __init__(self) -> None:
        """Know of none."""
        self._known: dict[str, str] = {}

    def complete(self, inspect: Inspect, api_version: str, ask: Callable[[], Inspect | None]) -> None:
        """Add to *inspect* what its API version leaves out; *ask* returns the inspect of an older one."""
        if version_of(api_version) < LEFT_OUT or is_alone(inspect) or "MacAddress" in inspect["Config"]:
            return
        endpoints = _endpoints(inspect)
        mac = self._known.get(endpoints) if endpoints else None
        if mac is None:
            mac = _told(ask)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[endpoints] = mac
        if mac:
            inspect["Config"]["MacAddress"] = mac


def _endpoints(inspect: Inspect) -> str:
    """Return by what the endpoints of a container are known; empty where it does not run."""
    networks = (inspect.get("NetworkSettings") or {}).get("Networks") or {}
    return " ".join(sorted(str(network.get("EndpointID") or "") for network in networks.values())).strip()


def _told(ask: Callable[[], Inspect | None]) -> str:
    try:
        told = ask() or {}
    except EngineError as error:
        if error.status != HTTPStatus.BAD_REQUEST:
            raise
        return ""  # it speaks the older version no more: nobody can tell
    return str((told.get("Config") or {}).get("MacAddress") or "")
