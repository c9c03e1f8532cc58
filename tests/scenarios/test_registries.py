"""What registries see of a fleet: one question a tag, each host's own credentials, and the right platform."""

import json
from typing import Any

import pytest

from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.testing.images import BuiltManifest
from tests.lab.images import Recipe, build, push
from tests.lab.lab import Lab
from tests.lab.machines import eventually
from tests.lab.registries import Access, Registry, ScriptableRegistry
from tests.scenarios.small_fleet import PATIENCE_S, App, SmallFleet

USER, PASSWORD = "robot", "very-secret"
VAULT = "vault.example"
AMD64, ARM64 = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")


class Vault(ScriptableRegistry):
    """A registry that lets nobody in without a password."""

    def push(self, repository: str, tag: str, image: Recipe | BuiltManifest) -> Digest:
        """Push an image to it as its user, and return the digest."""
        assert self.tls is not None
        built = build(image) if isinstance(image, Recipe) else image
        return push(f"https://{USER}:{PASSWORD}@{self.host}", repository, tag, built, ca=self.tls.authority)


@pytest.fixture
def vault(fleet: SmallFleet) -> Vault:
    """Start one."""
    lab: Lab = fleet.lab
    machine = lab.machine("vault", (VAULT,))
    registry = Vault(machine, lab.tls(machine, (VAULT,)), user=f"{USER}:{PASSWORD}")
    registry.start()
    registry.ready()
    return registry


def questions(registry: Registry, app: App) -> list[Access]:
    """Return what was asked about the tag of *app*."""
    rows = registry.accesses()
    return [r for r in rows if (r.place.kind, r.place.repository, r.place.tail) == ("manifests", app.repository, "1")]


def test_two_hosts_cause_one_head_for_one_image_per_check(fleet: SmallFleet) -> None:
    """By the origin's own log, for a plan and for a schedule; then both are updated to what that one answer pinned."""
    apps = [app for host in (fleet.oak, fleet.elm) for app in fleet.begin(host, ["shared"])]
    both = ("--host", "oak", "--host", "elm", "--container", "shared")
    centre, origin = fleet.centre, fleet.origin

    def asked_since(before: int) -> list[tuple[str, str]]:
        return [(access.method, access.client) for access in questions(origin, apps[0])[before:]]

    one = [("HEAD", centre.machine.address)]
    new = apps[0].push(Recipe(version="2", shares="shared"))
    before = len(questions(origin, apps[0]))
    plan = centre.ask("plan", *both)["plan"]
    assert asked_since(before) == one
    pinned = {(host["host"], target["new_digest"]) for host in plan["hosts"] for target in host["targets"]}
    assert pinned == {("oak", str(new)), ("elm", str(new))}
    centre.fleet("schedule", "create", "look", "--cron", "0 0 1 1 *", "--action", "check", *both)
    before = len(questions(origin, apps[0]))
    centre.fleet("schedule", "run", "look")

    def ran() -> bool:
        return bool(centre.ask("schedule", "show", "look")["schedule"]["last_run_at"])

    eventually("a run of the schedule", ran, within_s=PATIENCE_S, every_s=0.5)
    assert asked_since(before) == one
    centre.fleet("schedule", "rm", "look")
    before = len(questions(origin, apps[0]))
    centre.fleet("apply", plan["id"])
    for app in apps:
        app.assert_updated_once("2")
    assert asked_since(before) == []


def test_a_private_image_whose_credentials_only_a_host_has(fleet: SmallFleet, vault: Vault) -> None:
    """The centre is refused; the host that runs the image asks with its own login, which never travels."""
    fleet.elm.docker("login", "--username", USER, "--password-stdin", VAULT, input=PASSWORD)
    (app,) = fleet.begin(fleet.elm, ["private"], registry=vault, domain=VAULT)
    new = app.push(Recipe(version="2", layers_mib=(0.5,), shares="private"))
    before = len(questions(vault, app))
    assert app.update() == "completed"
    app.assert_updated_once("2")
    assert app.ask("select u.new_digest from updates u where true") == [str(new)]
    asked = {(access.client, access.status) for access in questions(vault, app)[before:]}
    assert (fleet.elm.address, 200) in asked
    assert {status for client, status in asked if client == fleet.centre.machine.address} == {401}
    assert vault.bytes_to(fleet.elm.address, app.repository) > 0


def children(registry: Registry, app: App, index: Digest) -> dict[str, str]:
    """Return architecture -> digest of what an index holds."""
    document: Any = registry.get_json(f"/v2/{app.repository}/manifests/{index}")
    return {row["platform"]["architecture"]: row["digest"] for row in document["manifests"]}


@pytest.mark.parametrize("name", ["oak", pytest.param("elm", marks=pytest.mark.full)])
def test_of_a_tag_with_two_platforms_the_index_is_pinned_and_the_right_one_pulled(name: str, fleet: SmallFleet) -> None:
    host = fleet.lab.hosts[name]

    def recipe(version: str) -> Recipe:
        return Recipe(version=version, layers_mib=(0.25,), shares=f"wide-{name}-{version}", platforms=(ARM64, AMD64))

    (app,) = fleet.begin(host, [f"wide-{name}"], recipe=recipe("1"))
    index = app.push(recipe("2"))
    assert app.update() == "completed"
    app.assert_updated_once("2")
    assert app.ask("select u.new_digest from updates u where true") == [str(index)]
    image = json.loads(host.docker("image", "inspect", app.reference))[0]
    assert image["Architecture"] == "amd64"
    assert image["RepoDigests"] == [f"{app.repository}@{index}"]
    by_platform = children(fleet.origin, app, index)
    asked = {access.place.tail for access in fleet.origin.asked("manifests", client=host.address)}
    assert by_platform["amd64"] in asked
    assert by_platform["arm64"] not in asked


@pytest.mark.full
@pytest.mark.parametrize("place", ["oak", "elm"])
def test_a_container_of_another_platform_than_its_host_keeps_that_platform(fleet: SmallFleet, place: str) -> None:
    """It runs by emulation; both platforms have the same programs here, so that it runs without."""

    def recipe(version: str) -> Recipe:
        share = f"foreign-{place}-{version}"
        return Recipe(version=version, layers_mib=(0.25,), shares=share, platforms=(AMD64, ARM64))

    host = getattr(fleet, place)
    (app,) = fleet.begin(host, [f"foreign-{place}"], recipe=recipe("1"), options=("--platform", "linux/arm64"))
    app.push(recipe("2"))
    assert app.update() == "completed", app.ask("select u.reason from updates u where true")
    app.assert_updated_once("2")
    running = json.loads(app.host.docker("inspect", app.name))[0]
    assert json.loads(app.host.docker("image", "inspect", running["Image"]))[0]["Architecture"] == "arm64"
