"""Looks at mirrors: what is asked, and what hosts found."""

from datetime import datetime

from pydantic import Field

from fleet.api.form import Answer, Part, Request
from fleet.mirrors.probe import ProbeState


class TestMirrors(Request):
    """Let hosts look at their mirrors."""

    __test__ = False

    host: str = ""
    """This host alone; empty: every host."""
    image: str = Field(default="", max_length=600)
    """What to ask mirrors of its registry for, and the registry itself; empty: of each registry an image that hosts run."""
    wait_s: float = Field(default=30.0, ge=0, le=60)
    """How long to wait for their answers, seconds."""


class ProbeEntry(Part):
    """What one host found at one mirror."""

    host: str
    mirror: str
    registry: str
    """The registry that it stands in for, or ``*``."""
    state: ProbeState
    reason: str = ""
    duration_ms: int
    tls_not_after: datetime | None = None
    digest: str = ""
    origin_digest: str = ""
    bytes_per_s: int | None = None
    """How fast a layer of an image came: the best of the last two days; null: not measured."""
    at: datetime


class Probes(Answer):
    """What hosts found, and who did not answer."""

    probes: tuple[ProbeEntry, ...]
    unanswered: tuple[str, ...] = ()
    """Hosts whose answer did not come in time."""


class AuditFinding(Part):
    """One thing about mirrors that a person should look at."""

    host: str
    code: str
    text: str
    failed: bool = False
    """Whether it must not stay so."""


class MirrorAudit(Answer):
    """What is wrong with how mirrors are configured and used."""

    findings: tuple[AuditFinding, ...]
    hosts: int
    """How many hosts were looked at."""
