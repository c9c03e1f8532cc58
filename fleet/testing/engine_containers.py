"""One container of the in-memory engine: its state, and what its inspect says."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fleet.testing.engine_images import Behaviour, as_json

NEVER = "0001-01-01T00:00:00Z"
SHORT_ID = 12


@dataclass(slots=True, kw_only=True)
class MemoryContainer:
    """A container; times are readings of the engine's clock."""

    id: str
    name: str
    created_at: datetime
    image_id: str
    config: dict[str, Any]
    host: dict[str, Any]
    mounts: list[dict[str, Any]]
    endpoints: dict[str, dict[str, Any]]
    """Network name -> what the user asked for, and what the engine gave while it runs."""
    behaviour: Behaviour
    nameless: set[str] = field(default_factory=set)
    """The anonymous volumes that were made for it, which go with it where the engine removes it by itself."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Path -> content of what stands in the writable layer alone."""
    executed: list[tuple[str, ...]] = field(default_factory=list)
    """The commands that were run in it, each with its user as the last word."""
    running: bool = False
    run: int = 0
    """Which run of it this is; counts every start in the whole engine, so that no two are alike."""
    started: float = 0.0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    error: str = ""
    restarts: int = 0
    restart_due: float | None = None
    """When the engine starts it again after it ended by itself."""
    stopped_by_hand: bool = False
    paused: bool = False
    gone_at: float | None = None
    """When its removal, which was begun, will have ended."""

    @property
    def policy(self) -> str:
        """The name of its restart policy."""
        return str(self.host["RestartPolicy"]["Name"])

    @property
    def lives_in(self) -> list[str]:
        """The containers whose network, processes or memory it shares, by their ids."""
        modes = (str(self.host.get(field) or "") for field in ("NetworkMode", "PidMode", "IpcMode"))
        return [mode.removeprefix("container:") for mode in modes if mode.startswith("container:")]

    @property
    def published(self) -> set[tuple[str, str]]:
        """The fixed host ports that it takes while it runs, with their protocol."""
        bound = (self.host.get("PortBindings") or {}).items()
        return {(row["HostPort"], port.partition("/")[2]) for port, rows in bound for row in rows if row["HostPort"]}

    def wants_restart(self) -> bool:
        """Tell whether the restart policy has the engine start it again after it ended by itself."""
        return not self.stopped_by_hand and self._policy_allows()

    def wants_start_with_engine(self) -> bool:
        """Tell whether an engine that starts also starts this one; ``always`` even where a person had stopped it."""
        if self.started_at is None or (self.policy == "unless-stopped" and self.stopped_by_hand):
            return False
        return self._policy_allows()

    def _policy_allows(self) -> bool:
        if self.policy == "on-failure":
            most = self.host["RestartPolicy"]["MaximumRetryCount"]
            return self.exit_code != 0 and (not most or self.restarts < most)
        return self.policy in ("always", "unless-stopped")

    def status(self) -> str:
        """Return the engine's word for its state."""
        if self.gone_at is not None:
            return "removing"
        if self.restart_due is not None:
            return "restarting"
        if self.running:
            return "paused" if self.paused else "running"
        return "exited" if self.started_at else "created"

    def has_probe(self) -> bool:
        """Tell whether a HEALTHCHECK runs in it."""
        test = (self.config.get("Healthcheck") or {}).get("Test") or []
        return bool(test) and test[0] != "NONE"

    def inspect(self, now: float) -> dict[str, Any]:
        """Return what the engine's API says of it."""
        return as_json(
            {
                "Id": self.id,
                "Created": _time(self.created_at, 0),
                "Name": f"/{self.name}",
                "Image": self.image_id,
                "RestartCount": self.restarts,
                "State": self._state(now),
                "Config": self.config,
                "HostConfig": self.host,
                "Mounts": self.mounts,
                "NetworkSettings": {"Networks": self.endpoints},
            }
        )

    def _state(self, now: float) -> dict[str, Any]:
        state: dict[str, Any] = {
            "Status": self.status(),
            "Running": self.running or self.restart_due is not None,
            "Paused": self.paused,
            "Restarting": self.restart_due is not None,
            "Dead": False,
            "ExitCode": self.exit_code,
            "Error": self.error,
            "StartedAt": _time(self.started_at, self.run),
            "FinishedAt": _time(self.finished_at, self.run),
        }
        if self.has_probe():
            state["Health"] = self._health(now)
        return state

    def _health(self, now: float) -> dict[str, Any]:
        told = "starting" if now - self.started < self.behaviour.health_after_s else self.behaviour.health
        if not self.running:
            told = "unhealthy" if self.started_at else "starting"
        rows = {"healthy": [(0, "fine")], "unhealthy": [(1, "probe failed")], "starting": []}[told]
        log = [{"ExitCode": code, "Output": text} for code, text in rows]
        return {"Status": told, "FailingStreak": 3 if told == "unhealthy" else 0, "Log": log}


def _time(at: datetime | None, serial: int) -> str:
    """Spell *at* with nanoseconds, the last three of which are *serial*'s: no two runs begin at the same instant."""
    return NEVER if at is None else f"{at:%Y-%m-%dT%H:%M:%S.%f}{serial % 1000:03d}Z"
