"""On a real engine: what is needed is recreated first, who asks for it is restarted, circles are left alone, and all goes back."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from fleet.agent.commands import Commands
from fleet.agent.problems import Problems
from fleet.agent.work import Ways, Workshop
from fleet.engine.protocol import CreateSpec, Inspect
from fleet.ids import new_id
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.road.messages import Go, Order, Outcome
from fleet.updates.command import Policy, Target, UpdateCommand, VerifyPolicy, pull_key
from fleet.updates.journal import Journal
from fleet.updates.known import KnownDigests
from fleet.updates.outcome import PullOutcome, Result, Tier
from fleet.updates.pull import PullProgress
from tests.contracts.beds import RealBed, real_bed
from tests.lab.engines import Generation
from tests.lab.lab import Lab

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]

POLICY = Policy(verify=VerifyPolicy(settle_ms=500, deadline_ms=90_000))
DEPENDS = "fleet.depends-on"
LABELS: dict[str, dict[str, str]] = {
    "db": {},
    "api": {DEPENDS: "db:restart"},
    "job": {DEPENDS: "db"},
    "web": {"com.centurylinklabs.watchtower.depends-on": "api"},
    "ring-a": {DEPENDS: "ring-b"},
    "ring-b": {DEPENDS: "ring-a"},
}


class Pulls:
    """Brings the image that the test made for a reference."""

    def __init__(self, bed: RealBed, known: KnownDigests) -> None:
        self.bed, self.known = bed, known
        self.ids: dict[str, str] = {}

    def open(self) -> None:
        """Begin."""

    def close(self) -> None:
        """End."""

    def forget_strangers(self) -> None:
        """Know of none."""

    def pull(
        self,
        reference: Reference,
        digest: Digest,
        *,
        pull_id: UUID,
        platform: Platform | None,
        policy: Policy,
        progress: Callable[[PullProgress], None],
        stop: Callable[[], bool],
        containers: Sequence[str],
    ) -> PullOutcome:
        """Let the reference name the image and remember its digest, as a pull does."""
        image = self.ids[reference.familiar]
        self.known.put(image, reference.name, digest)
        self.bed.engine.tag(image, reference.familiar_name, reference.tag_or_latest)
        return PullOutcome(
            pull_id=pull_id, reference=str(reference), digest=str(digest), ok=True, tier=Tier.PRESENT, image_id=image
        )


class Site:
    """An agent's work over the engine."""

    def __init__(self, bed: RealBed, folder: Path) -> None:
        self.bed, self.told = bed, list[Outcome]()
        known = KnownDigests(folder / "known.json")
        self.pulls = Pulls(bed, known)
        journal = Journal(folder / "journal")
        self.commands = Commands(journal)
        ways = Ways(put=self.told.append, say=lambda _: None, ready=lambda: None, changed=lambda: None)
        for name, found in self.running().items():
            known.put(found["Image"], f"docker.io/library/{name}", Digest.of(name.encode()))
        self.workshop = Workshop(
            bed.engine, journal, self.commands, self.pulls, known, ways, clock=bed.clock, problems=Problems()
        )

    def running(self) -> dict[str, Inspect]:
        """Return what runs, by name."""
        found = [self.bed.engine.inspect(container) for container in self.bed.engine.container_ids()]
        return {one["Name"].lstrip("/"): one for one in found if one is not None}

    def bring(self, images: dict[str, str]) -> dict[str, Result]:
        """Bring containers to images, by name, and return what came of each in the order in which it came."""
        self.told.clear()
        running = self.running()
        self.pulls.ids = {f"{name}:1": image for name, image in images.items()}
        targets = tuple(
            Target(
                update_id=new_id(),
                container_id=running[name]["Id"],
                container=name,
                image_id=running[name]["Image"],
                reference=Reference.parse(f"{name}:1"),
                digest=Digest.of(image.encode()),
            )
            for name, image in images.items()
        )
        pulls = {pull_key(target): new_id() for target in targets}
        command = UpdateCommand(id=new_id(), targets=targets, policy=POLICY, pull_ids=pulls)
        for message in (Order.of(command), Go(command=command.id)):
            self.commands.receive(message, self.bed.clock.now(), self.told.append)
            while self.workshop.step() == 0:
                pass
        return {each.outcome.container: each.outcome.result for each in self.told}


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    """Run the containers of LABELS on one engine."""
    Generation.V26.need()
    host = lab.hosts.get("order") or lab.host("order", Generation.V26)
    with real_bed(host.engine_url) as bed:
        for name, labels in LABELS.items():
            bed.image(f"{name}:1")
            body = {"Image": f"{name}:1", "Labels": labels, "StopTimeout": 2}
            bed.engine.start(bed.engine.create(CreateSpec(name=name, body=body)))
        yield Site(bed, tmp_path)


def test_order_restarts_circles_and_the_way_back(site: Site) -> None:
    before = site.running()
    new = {name: site.bed.image(f"fresh-{name}:1", Env=["PATH=/bin", "NEW=1"]) for name in ("web", "db", "ring-a")}
    assert site.bring(new) == {"ring-a": Result.SKIPPED, "db": Result.UPDATED, "web": Result.UPDATED}
    assert [each.outcome.container for each in site.told] == ["ring-a", "db", "web"]
    assert site.told[0].outcome.reason.endswith("circle: ring-a -> ring-b -> ring-a")
    after = site.running()
    assert set(after) == set(LABELS)
    assert {name: after[name]["Image"] for name in ("db", "web")} == {name: new[name] for name in ("db", "web")}
    started = {name for name in LABELS if after[name]["State"]["StartedAt"] != before[name]["State"]["StartedAt"]}
    assert started == {"db", "web", "api"}
    assert {name: after[name]["Id"] for name in ("api", "job")} == {n: before[n]["Id"] for n in ("api", "job")}
    # And back to the image that was kept.
    assert site.bring({"db": before["db"]["Image"]}) == {"db": Result.UPDATED}
    back = site.running()
    assert back["db"]["Image"] == before["db"]["Image"]
    assert "NEW=1" not in back["db"]["Config"]["Env"]
    assert back["web"]["Image"] == new["web"]
