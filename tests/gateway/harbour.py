"""What these tests stand on: a gateway, an origin, and mirrors with the same image."""

import os
from dataclasses import dataclass, field, replace

from fleet.gateway.limits import Limits
from fleet.gateway.server import Gateway
from fleet.gateway.session import USER, Session
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.mirrors.attempt import Attempt
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.table import MirrorTable
from fleet.registry.connections import Patience
from fleet.registry.credentials import Credentials
from fleet.testing.registry import ScriptedRegistry
from tests.gateway.docking import Dock

PATIENT = Limits(
    patience=Patience(connect_s=20.0, first_byte_s=20.0, silence_s=20.0),
    floor_bytes_s=50_000,
    floor_window_s=20.0,
    header_hold_s=60.0,
    poured_bytes=64 * 1024,
    pause_s=0.05,
    longest_retry_after_s=1.5,
    start_s=60.0,
)
"""For what is not about time: a machine that is busy for a second must not look like a mirror that hangs."""
HANG_S = 3.0
HANGING = replace(
    PATIENT,
    patience=replace(PATIENT.patience, first_byte_s=HANG_S, silence_s=HANG_S),
    floor_window_s=HANG_S,
)
"""For sources that hang: soon enough for a test, and long enough for the others on a busy machine."""
LAYERS = [os.urandom(300_000), os.urandom(150_000), os.urandom(70_000)]


@dataclass(slots=True)
class Logins:
    """Credentials by host."""

    by_host: dict[str, Credentials] = field(default_factory=dict)

    async def for_host(self, host: str) -> Credentials | None:
        """Return what the test put there."""
        return self.by_host.get(host)


@dataclass(slots=True)
class Harbour:
    """A gateway, an origin, and mirrors in order."""

    gateway: Gateway
    origin: ScriptedRegistry
    mirrors: list[ScriptedRegistry]
    digest: Digest
    logins: Logins
    ca_files: dict[str, str] = field(default_factory=dict)
    """Further authorities by a mirror's URL."""

    @property
    def reference(self) -> Reference:
        """The image as a user writes it."""
        return Reference.parse(f"{self.origin.host}/org/app:1")

    @property
    def table(self) -> MirrorTable:
        """The mirrors, global, in order."""
        rules = [{"for": "*", "url": m.url, "ca": self.ca_files.get(m.url, "")} for m in self.mirrors]
        return MirrorTable.of(parse_mirrors(rules))

    def open(self) -> tuple[Session, Dock]:
        """Begin a pull, and return it with the engine's way to it."""
        session = self.gateway.open(self.reference, self.digest, self.table)
        return session, self.dock(session)

    def dock(self, session: Session) -> Dock:
        """Return the engine's way to a pull."""
        return Dock(self.gateway.host, {"username": USER, "password": session.secret})

    def pull(self) -> tuple[Dock, tuple[Attempt, ...]]:
        """Pull as an engine does; return what it got, and who gave it."""
        session, dock = self.open()
        try:
            dock.pull(session.name, str(self.digest))
        finally:
            self.gateway.end(session)
        return dock, session.attempts()


def served(registry: ScriptedRegistry) -> int:
    """Return the bytes of manifests and blobs that left *registry*, by its own log."""
    good = (e for e in registry.log if e.kind in ("manifests", "blobs") and e.status in (200, 206))
    return sum(entry.sent for entry in good)
