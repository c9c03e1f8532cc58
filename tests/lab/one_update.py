"""One container on an engine of the lab, and its update by this very process, in the middle of which things may happen."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from docker.api.client import APIClient

from fleet.clock import SystemClock
from fleet.engine.protocol import Inspect
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.updates.command import Policy, Target, VerifyPolicy
from fleet.updates.execute import recover, recreate_target
from fleet.updates.journal import Journal
from fleet.updates.outcome import PullOutcome, Tier, UpdateOutcome
from tests.contracts.beds import ENDS, RealBed
from tests.lab.lab import Host

POLICY = Policy(verify=VerifyPolicy(settle_ms=1_000, deadline_ms=60_000))
ALWAYS = ("--restart", "always", "--stop-timeout", "1")


class OneUpdate:
    """``web`` on *host*, with a newer image of it there."""

    def __init__(self, host: Host, folder: Path, *arguments: str, good: bool = True) -> None:
        """Run it with *arguments* of ``docker run``; *good*: whether its newer image runs at all."""
        self.host, self.bed = host, RealBed(host.engine_url)
        self.api: Any = APIClient(base_url=host.engine_url, version="auto")
        self.journal = folder / str(uuid4())
        self.bed.image("app:1")
        host.docker("run", "--detach", "--name", "web", *ALWAYS, *arguments, "app:1")
        self.before = self.look()
        self.new_image = self.bed.image("app:1", **({} if good else {"Cmd": list(ENDS)}))

    def look(self, container: str = "web") -> Inspect:
        """Return the inspect of a container that is there."""
        found = self.bed.engine.inspect(container)
        assert found is not None
        return found

    def update(self, meddle: Mapping[str, Callable[[], object]]) -> UpdateOutcome:
        """Carry the update out; *meddle* says what happens just before the first call of a name, once."""
        digest = Digest.of(self.new_image.encode())
        target = Target(
            update_id=uuid4(),
            container_id=self.before["Id"],
            container="web",
            image_id=self.before["Image"],
            reference=Reference.parse("app:1"),
            digest=digest,
        )
        pull = PullOutcome(
            pull_id=uuid4(), reference="app:1", digest=str(digest), ok=True, tier=Tier.PRESENT, image_id=self.new_image
        )
        engine: Any = _Met(self.bed.engine, dict(meddle))
        journal = Journal(self.journal)
        return recreate_target(engine, journal, target, POLICY, pull, command_id=uuid4(), clock=SystemClock())

    def next_start(self) -> list[UpdateOutcome]:
        """Return what the next start of an agent tells."""
        return [told for _, told in recover(self.bed.engine, Journal(self.journal), SystemClock())]

    def close(self) -> None:
        """Remove the container, and give the connections back."""
        self.bed.clean()
        self.bed.close()
        self.api.close()


class _Met:
    """An engine on whose calls something happens."""

    def __init__(self, engine: object, meddle: dict[str, Callable[[], object]]) -> None:
        self._engine, self._meddle, self._last = engine, meddle, ""

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._engine, name)

        def call(*arguments: Any, **named: Any) -> Any:
            # "rename rename": the second of two in a row; "start inspect": the first look at what was started.
            happens = self._meddle.pop(f"{self._last} {name}", None) or self._meddle.pop(name, None)
            self._last = name
            if happens is not None:
                happens()
            return real(*arguments, **named)

        return call if callable(real) else real
