"""Projects of Docker Compose keep working through updates of each service, and their next ``up`` finds nothing to do."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from fleet.engine.protocol import Inspect
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.updates.command import Policy, Target, VerifyPolicy
from fleet.updates.execute import recreate_target
from fleet.updates.journal import Journal
from fleet.updates.outcome import PullOutcome, Result, Tier, UpdateOutcome
from tests.contracts.beds import GOOD_PROBE, RealBed, real_bed
from tests.lab.engines import Generation
from tests.lab.lab import Host, Lab

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

POLICY = Policy(verify=VerifyPolicy(settle_ms=500, deadline_ms=90_000))
PROJECTS = {
    "shop": """
services:
  db:
    image: db:1
    restart: unless-stopped
    volumes: ["data:/db", "/nameless"]
    environment: {MODE: prod, LEVEL: debug}
    networks: {back: {aliases: [database]}}
  web:
    image: web:1
    depends_on: {db: {condition: service_started, restart: true}}
    ports: ["127.0.0.1:18980:80"]
    networks: [back, front]
    labels: {team: web}
volumes: {data: {}}
networks: {back: {}, front: {}}
""",
    "probed": """
services:
  api:
    image: probed:1
    init: true
    stop_grace_period: 3s
    ulimits: {nofile: {soft: 1024, hard: 2048}}
  worker:
    image: worker:1
    depends_on: {api: {condition: service_healthy}}
    healthcheck: {test: ["CMD", "true"], interval: 1s, timeout: 30s, retries: 3}
    tmpfs: ["/run:size=1m"]
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
""",
    "addresses": """
services:
  one:
    image: one:1
    hostname: one
    domainname: acme.test
    networks: {lan: {ipv4_address: 10.98.7.10, aliases: [first]}}
    mac_address: "02:42:ac:11:65:43"
  two:
    image: two:1
    extra_hosts: ["gate:10.1.2.3"]
    dns: [10.0.0.53]
    networks: {lan: {ipv4_address: 10.98.7.11}}
    sysctls: {net.ipv4.ip_forward: "1"}
networks: {lan: {ipam: {config: [{subnet: 10.98.7.0/24}]}}}
""",
    "several": """
services:
  many:
    image: many:1
    deploy: {replicas: 2, resources: {limits: {cpus: "0.5", memory: 64M}}}
    volumes: ["shared:/shared"]
  lone:
    image: lone:1
    links: ["many:crowd"]
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $$!; done"]
    logging: {driver: json-file, options: {max-size: 1m}}
volumes: {shared: {}}
""",
    "shared": """
services:
  lender:
    image: lender:1
    volumes: ["lent:/lent"]
  borrower:
    image: borrower:1
    volumes: ["lent:/lent:ro"]
    user: "1000:1000"
    working_dir: /tmp
    entrypoint: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $$!; done"]
  hosted:
    image: hosted:1
    network_mode: host
    pid: host
volumes: {lent: {}}
""",
    "lent": """
services:
  lender:
    image: lender:1
    volumes: ["lent:/lent"]
  borrower:
    image: borrower:1
    volumes_from: ["lender:ro"]
volumes: {lent: {}}
""",
}
"""Name -> the file; each image is called as its service, but where two services share one."""


@pytest.fixture(scope="module")
def host(lab: Lab) -> Host:
    """Run one engine with the compose plugin."""
    Generation.V26.need()
    return lab.host("drift", Generation.V26)


@pytest.fixture
def bed(host: Host) -> Iterator[RealBed]:
    """Give that engine, empty."""
    with real_bed(host.engine_url) as bed:
        yield bed


class Project:
    """One project, up."""

    def __init__(self, host: Host, bed: RealBed, name: str, journal: Path) -> None:
        self.host, self.bed, self.name, self.journal = host, bed, name, journal
        self.folder = host.machine.folder / name
        self.folder.mkdir()
        text = PROJECTS[name]
        (self.folder / "compose.yaml").write_text(text)
        for image in self.images():
            bed.image(image, **_config(image))
        self.up()

    def images(self) -> list[str]:
        """Return the images that the file names."""
        lines = PROJECTS[self.name].splitlines()
        return [line.split("image: ")[1] for line in lines if "image: " in line]

    def compose(self, *arguments: str) -> str:
        """Say one docker compose command, and return all that it prints."""
        at = ["--project-directory", str(self.folder), "--ansi", "never"]
        ended = self.host.machine.run("docker-compose", *at, *arguments, timeout_s=600)
        return ended.stdout + ended.stderr

    def up(self) -> str:
        """Bring it up, and return what that printed."""
        return self.compose("up", "--detach", "--pull", "never")

    def containers(self) -> dict[str, Inspect]:
        """Return the inspects of what runs, by name."""
        found = [self.bed.engine.inspect(container) for container in self.bed.engine.container_ids()]
        return {one["Name"].lstrip("/"): one for one in found if one is not None}

    def update(self, name: str, number: int) -> UpdateOutcome:
        """Give the container's image a newer one, where it is still the older, and update it."""
        old = self.containers()[name]
        image = str(old["Config"]["Image"])
        current = self.bed.engine.image(image)
        if current is None or current["Id"] == old["Image"]:
            self.bed.engine.tag(self.bed.image("fresh:1", **_config(image)), *image.split(":"))
        new = str((self.bed.engine.image(image) or {})["Id"])
        digest = Digest.of(new.encode())
        target = Target(
            update_id=UUID(int=number),
            container_id=old["Id"],
            container=name,
            image_id=old["Image"],
            reference=Reference.parse(image),
            digest=digest,
        )
        pull = PullOutcome(
            pull_id=UUID(int=1), reference=image, digest=str(digest), ok=True, tier=Tier.PRESENT, image_id=new
        )
        keeper = Journal(self.journal)
        return recreate_target(
            self.bed.engine, keeper, target, POLICY, pull, command_id=UUID(int=2), clock=self.bed.clock
        )


def _config(image: str) -> dict[str, object]:
    return {"Healthcheck": GOOD_PROBE} if image.startswith("probed") else {}


LENT = "lent"
"""Compose puts the id of the lender into the hash of the borrower, and so recreates it after its lender, whoever did that."""


@pytest.mark.parametrize("name", [name for name in PROJECTS if name != LENT])
def test_after_updates_of_each_service_up_recreates_nothing(
    name: str, host: Host, bed: RealBed, tmp_path: Path
) -> None:
    project = Project(host, bed, name, tmp_path)
    try:
        before = project.containers()
        assert len(before) >= 2
        for number, container in enumerate(sorted(before), start=10):
            outcome = project.update(container, number)
            assert outcome.result is Result.UPDATED, f"{container}: {outcome.reason}"
        middle = project.containers()
        assert set(middle) == set(before)
        assert not {one["Id"] for one in middle.values()} & {one["Id"] for one in before.values()}
        told = project.up()
        after = project.containers()
        assert {key: one["Id"] for key, one in after.items()} == {key: one["Id"] for key, one in middle.items()}, told
        assert "Recreate" not in told, told
        assert all(one["State"]["Running"] for one in after.values())
    finally:
        project.compose("down", "--volumes", "--timeout", "2")


def test_a_borrower_of_volumes_is_left_alone_unless_its_lender_was_updated(
    host: Host, bed: RealBed, tmp_path: Path
) -> None:
    project = Project(host, bed, LENT, tmp_path)
    try:
        outcome = project.update("lent-borrower-1", 10)
        assert outcome.result is Result.UPDATED, outcome.reason
        middle = project.containers()
        told = project.up()
        assert {one["Id"] for one in project.containers().values()} == {one["Id"] for one in middle.values()}, told
    finally:
        project.compose("down", "--volumes", "--timeout", "2")
