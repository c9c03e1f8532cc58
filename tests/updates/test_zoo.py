"""The same container with a new image, on every engine: what the user set stays, the data stays, nothing else changes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from uuid import UUID

import pytest

from fleet.engine.difference import config_diff
from fleet.engine.protocol import CreateSpec, Inspect
from fleet.errors import EngineError
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.updates.command import Policy, Target, VerifyPolicy
from fleet.updates.execute import recreate_target
from fleet.updates.foresight import foresee, own_fields
from fleet.updates.journal import Journal
from fleet.updates.outcome import PullOutcome, Result, Tier, UpdateOutcome
from tests.contracts.beds import BAD_PROBE, Bed, MemoryBed, RealBed, real_bed, run
from tests.contracts.conftest import ALL, STAND_INS
from tests.updates import zoo
from tests.updates.zoo import Animal
from tests.updates.zoo_host import HOST_SHAPES
from tests.updates.zoo_settings import SETTING_SHAPES

pytestmark = [pytest.mark.usefixtures("quick_disk"), pytest.mark.timeout(600)]

ZOO = zoo.ZOO | HOST_SHAPES | SETTING_SHAPES
"""At least 80 shapes."""

COMMAND, PULL = UUID(int=1), UUID(int=3)
POLICY = Policy(verify=VerifyPolicy(settle_ms=300, deadline_ms=90_000))


def make_home(bed: Bed) -> None:
    """Make what every shape finds around it: two networks, and a container that lends what it has."""
    bed.network("back", "10.97.1.0/24")
    bed.network("front", "10.97.2.0/24")
    bed.image("peer:1", Volumes={"/lent": {}})
    run(bed, "peer", "peer:1")


@pytest.fixture(scope="module")
def homes(engines: dict[str, str]) -> Iterator[Callable[[str], RealBed]]:
    """Give the engine of each generation with the home on it, the same to every shape."""
    with ExitStack() as stack:

        @cache
        def home(generation: str) -> RealBed:
            bed = stack.enter_context(real_bed(engines[generation]))
            make_home(bed)
            return bed

        yield home


@pytest.fixture(params=ALL)
def bed(request: pytest.FixtureRequest, homes: Callable[[str], RealBed]) -> Iterator[Bed]:
    """Give each engine in turn, with nothing on it but the home, which is as it was afterwards."""
    if request.param in STAND_INS:
        memory = MemoryBed(STAND_INS[request.param])
        make_home(memory)
        yield memory
        return
    home = homes(request.param)
    peer = look(home, "peer")
    yield home
    home.clean(but="peer")
    assert look(home, "peer")["State"] == peer["State"]


def settle(bed: Bed, animal: Animal) -> Inspect:
    """Run the animal with what stands around it, and data in each of its volumes; return its inspect."""
    if _version(bed.engine.facts().api_version) < _version(animal.api):
        pytest.skip(f"the engine's API is older than {animal.api}")
    bed.image("app:1", **animal.old)
    body = {"Image": "app:1", **animal.body}
    spec = CreateSpec(name="web", body=body, connect=tuple(animal.connect.items()))
    made = bed.engine.create(spec)
    _start(bed, made)
    before = look(bed, made)
    for volume in volumes(before):
        bed.write(volume, f"precious in {volume}")
    return before


def _start(bed: Bed, container: str) -> None:
    """Start it; where this very machine lacks rights that the shape wants, there is nothing to try."""
    try:
        bed.engine.start(container)
    except EngineError as error:
        if "unable to apply caps" not in str(error):
            raise
        pytest.skip("this machine has not all the capabilities itself, and so may not give them")


def _version(api_version: str) -> tuple[int, ...]:
    return tuple(map(int, api_version.split(".")))


def look(bed: Bed, container: str) -> Inspect:
    """Return the inspect of a container that is there."""
    found = bed.engine.inspect(container)
    assert found is not None
    return found


def volumes(inspect: Inspect) -> list[str]:
    """Return the names of a container's volumes."""
    return sorted(mount["Name"] for mount in inspect["Mounts"] if mount["Type"] == "volume")


def chosen_macs(inspect: Inspect) -> dict[str, str]:
    """Return the MAC addresses that the zoo chooses, by network: no engine comes upon one of them by itself."""
    networks = inspect["NetworkSettings"]["Networks"].items()
    macs = {name: str(network.get("MacAddress") or "") for name, network in networks}
    return {name: mac for name, mac in macs.items() if mac.startswith("02:11:22:33:44:")}


def newer(bed: Bed, animal: Animal) -> str:
    """Give ``app:1`` a newer image, as Fleet's pull does: under another name first; return its id."""
    new = bed.image("fresh:1", **animal.new)
    bed.engine.tag(new, "app", "1")
    return new


def update(bed: Bed, old: Inspect, new_image: str, journal: Path, number: int = 2) -> UpdateOutcome:
    """Carry one update out."""
    digest = Digest.of(new_image.encode())
    target = Target(
        update_id=UUID(int=number),
        container_id=old["Id"],
        container="web",
        image_id=old["Image"],
        reference=Reference.parse("app:1"),
        digest=digest,
    )
    pull = PullOutcome(
        pull_id=PULL, reference="app:1", digest=str(digest), ok=True, tier=Tier.PRESENT, image_id=new_image
    )
    keeper = Journal(journal)
    return recreate_target(bed.engine, keeper, target, POLICY, pull, command_id=COMMAND, clock=bed.clock)


@pytest.mark.parametrize("animal", ZOO)
def test_it_comes_through_a_recreate_as_it_was(animal: str, bed: Bed, tmp_path: Path) -> None:
    shape = ZOO[animal]
    before = settle(bed, shape)
    old_image = bed.engine.image(before["Image"])
    new_image = newer(bed, shape)
    outcome = update(bed, before, new_image, tmp_path)
    assert outcome.result is Result.UPDATED, outcome.reason
    after = look(bed, "web")
    assert after["Image"] == new_image
    assert after["State"]["Running"]
    told = config_diff(before, after)
    assert sorted(line.partition(": ")[0] for line in told) == sorted(shape.differs), told
    assert outcome.config_diff == told
    assert _comparable(foreseen(before, old_image, bed.engine.image(new_image))) == _comparable(told)
    assert volumes(after) == volumes(before)
    # The stand-in shows of MAC addresses what it was asked for, and not as its API version does.
    assert isinstance(bed, MemoryBed) or chosen_macs(after) == chosen_macs(before)
    for volume in volumes(after):
        assert bed.read(volume) == f"precious in {volume}"
    names = sorted(look(bed, one)["Name"] for one in bed.engine.container_ids(all=True))
    assert names == ["/peer", "/web"]
    _changes_no_more(bed, after, tmp_path)


def foreseen(before: Inspect, old_image: Inspect | None, new_image: Inspect | None) -> tuple[str, ...]:
    """Return what a plan would say that changes, by the images alone and what the host tells of its container."""
    assert old_image
    assert new_image
    own = own_fields(before, old_image)
    assert own is not None
    return foresee(old_image["Config"], new_image["Config"], own).changes


def _comparable(lines: Iterable[str]) -> list[str]:
    """Leave out labels that do not matter to a plan, and the names of new volumes, which nobody knows before."""
    told = [line.partition(": ")[0] if line.startswith("Mounts.") else line for line in lines]
    return sorted(line for line in told if not line.startswith("Config.Labels."))


def _changes_no_more(bed: Bed, after: Inspect, journal: Path) -> None:
    """A second run does nothing, and a second recreate differs in nothing."""
    assert update(bed, after, after["Image"], journal, 3).result is Result.ALREADY_CURRENT
    assert look(bed, "web")["Id"] == after["Id"]


SETTLED = (
    "volumes",
    "two networks",
    "a link",
    "removed when it stops",
    "an entrypoint taken away",
    "limits and rights",
)


@pytest.mark.parametrize("animal", SETTLED)
def test_a_second_recreate_adds_nothing(animal: str, bed: Bed, tmp_path: Path) -> None:
    """What one recreate adds each time, as doubled links or binds, shows at the second."""
    shape = ZOO[animal]
    before = settle(bed, shape)
    update(bed, before, newer(bed, shape), tmp_path, 2)
    middle = look(bed, "web")
    same = replace(shape, old=shape.new)
    outcome = update(bed, middle, newer(bed, same), tmp_path, 4)
    assert outcome.result is Result.UPDATED, outcome.reason
    after = look(bed, "web")
    assert config_diff(middle, after) == ()
    for field in ("Binds", "Links", "Mounts"):
        assert sorted(map(str, after["HostConfig"].get(field) or [])) == sorted(
            map(str, middle["HostConfig"].get(field) or [])
        )


@pytest.mark.parametrize("animal", ["volumes", "two networks", "removed when it stops", "always restarted", "a link"])
def test_a_new_one_that_gets_unhealthy_is_rolled_back(animal: str, bed: Bed, tmp_path: Path) -> None:
    shape = ZOO[animal]
    before = settle(bed, shape)
    outcome = update(
        bed, before, newer(bed, replace(shape, new=dict(shape.new) | {"Healthcheck": BAD_PROBE})), tmp_path
    )
    assert outcome.result is Result.ROLLED_BACK, outcome.reason
    assert "healthy" in outcome.reason
    after = look(bed, "web")
    assert after["Image"] == before["Image"]
    assert after["State"]["Running"]
    assert config_diff(before, after) == ()
    for volume in volumes(after):
        assert bed.read(volume) == f"precious in {volume}"
    assert len(bed.engine.container_ids(all=True)) == 2
