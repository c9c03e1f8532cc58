"""What the engine's answers mean, as values of the protocol. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fleet.engine.protocol import EngineEvent, EngineFacts, PullEvent
from fleet.errors import EngineError
from fleet.images.platform import Platform


def facts_of(told: Mapping[str, Any], api_version: str) -> EngineFacts:
    """Return what ``/info`` says, and which version of the API is spoken."""
    registries = told.get("RegistryConfig") or {}
    status = {row[0]: row[1] for row in told.get("DriverStatus") or [] if len(row) == 2}
    platform = Platform.parse(f"{told.get('OSType') or 'linux'}/{told.get('Architecture') or 'unknown'}")
    insecure = [name for name, row in (registries.get("IndexConfigs") or {}).items() if not row.get("Secure", True)]
    return EngineFacts(
        id=str(told.get("ID") or ""),
        name=str(told.get("Name") or ""),
        version=str(told.get("ServerVersion") or ""),
        api_version=api_version,
        os=platform.os,
        architecture=platform.architecture,
        containerd_store=status.get("driver-type") == "io.containerd.snapshotter.v1",
        mirrors=tuple(registries.get("Mirrors") or ()),
        insecure_registries=tuple(registries.get("InsecureRegistryCIDRs") or ()) + tuple(insecure),
    )


def pull_event_of(reference: str, line: Mapping[str, Any]) -> PullEvent:
    """Return what one line of a pull's stream says; raise EngineError where it says that the pull failed."""
    if "error" in line or "errorDetail" in line:
        told = line.get("error") or (line.get("errorDetail") or {}).get("message") or "no reason was given"
        raise EngineError(f"cannot pull {reference}: {told}")
    progress = line.get("progressDetail") or {}
    return PullEvent(
        layer=str(line.get("id") or ""),
        status=str(line.get("status") or ""),
        current=progress.get("current"),
        total=progress.get("total"),
    )


def event_of(line: Mapping[str, Any]) -> EngineEvent:
    """Return what one line of the stream of events says."""
    actor = line.get("Actor") or {}
    attributes = {str(key): str(value) for key, value in (actor.get("Attributes") or {}).items()}
    seconds = int(line.get("timeNano") or int(line.get("time") or 0) * 10**9) / 1e9
    return EngineEvent(
        kind=str(line.get("Type") or ""),
        action=str(line.get("Action") or ""),
        id=str(actor.get("ID") or ""),
        name=attributes.get("name", ""),
        at=datetime.fromtimestamp(seconds, UTC),
        attributes=attributes,
    )
