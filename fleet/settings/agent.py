"""The settings of the agent: where its join file, its engine and its state are."""

import os
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from fleet.errors import BadInput
from fleet.settings import places, sources
from fleet.settings.centre import CentreSettings, LogSettings


class AgentGroup(BaseModel):
    """What the agent of one host works with, and where it keeps what must survive."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    join_file: str = Field(default="", json_schema_extra={"env": "FLEET_JOIN_FILE"})
    """The join file that ``fleet host add`` wrote; no default, since it is a secret that somebody carried here."""
    engine: str = Field(default="", json_schema_extra={"env": "FLEET_ENGINE"})
    """``unix:///path`` or ``tcp://host:port``; empty: ``DOCKER_HOST``, else Docker's usual socket."""
    state_dir: str = Field(default="", json_schema_extra={"env": "FLEET_STATE_DIR"})
    """Journal, outbox and spool; must survive restarts. Empty: ``agent`` in the usual state directory."""
    docker_config: str = ""
    """The folder of Docker's ``config.json`` with this host's credentials; empty: where the docker command looks."""
    manage_hosts_toml: bool = Field(default=False, json_schema_extra={"env": "FLEET_MANAGE_HOSTS_TOML"})
    """Whether ``hosts.toml`` files are written below Docker's ``certs.d``, for engines with the containerd store. Off by
    default: it changes the host's configuration, and every pull on the host then goes by the policy's mirrors."""
    spool_gib: Annotated[float, Field(ge=0, le=100_000)] = 10.0
    """GiB of what failed pulls left that is kept for the next ones; the oldest goes first. A running pull is not bounded
    by it: its layers need room on the disk all the same."""
    heartbeat_s: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    """Seconds between two heartbeats: the centre calls a host silent after three of them."""


class AgentSettings(sources.ProcessSettings):
    """Everything that may be set about the agent."""

    other_tables: ClassVar[tuple[str, ...]] = (
        *(name for name in CentreSettings.model_fields if name != "log"),
        "client",
        "contexts",
    )

    agent: AgentGroup = AgentGroup()
    log: LogSettings = LogSettings()

    @classmethod
    def read(cls, **given: str) -> Self:
        """Return the settings of this process, *given* first; raise BadInput that names what cannot be used."""
        return sources.read(cls, {"agent": {name: value for name, value in given.items() if value}})

    @property
    def join_file(self) -> Path:
        """Where the join file is; raise BadInput where nobody said so."""
        if not self.agent.join_file:
            raise BadInput(
                "cannot start without a join file; write one at the centre with fleet host add NAME, and name it with"
                " --join or FLEET_JOIN_FILE"
            )
        return Path(self.agent.join_file)

    @property
    def state_dir(self) -> Path:
        """Where the agent keeps what must survive."""
        return Path(self.agent.state_dir).absolute() if self.agent.state_dir else places.state_dir() / "agent"

    @property
    def engine_url(self) -> str | None:
        """The engine's address; None: Docker's usual socket."""
        return self.agent.engine or os.environ.get("DOCKER_HOST") or None

    @property
    def docker_config_file(self) -> Path | None:
        """Docker's ``config.json``; None: where the docker command looks."""
        return Path(self.agent.docker_config) / "config.json" if self.agent.docker_config else None
