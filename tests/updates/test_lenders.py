"""What others lent a container (``volumes_from``) is what it has afterwards, whatever became of who lent it."""

from pathlib import Path

import pytest

from fleet.engine.protocol import Inspect
from fleet.updates.outcome import Result
from tests.contracts.beds import Bed, run
from tests.updates.test_zoo import look, update

pytestmark = pytest.mark.usefixtures("quick_disk")

SHARED = {"HostConfig": {"Binds": ["/etc/hostname:/mnt/shared:ro"]}, "Volumes": {"/lent": {}}}
OTHERWISE = {"HostConfig": {"Binds": ["/etc:/mnt/shared", "/etc:/mnt/more"]}, "Volumes": {"/lent": {}}}


def mounts(inspect: Inspect) -> list[tuple[str, str, bool]]:
    """Return what is mounted, where, and whether it may be written."""
    return sorted(
        (mount.get("Name") or mount["Source"], mount["Destination"], mount["RW"]) for mount in inspect["Mounts"]
    )


@pytest.mark.parametrize(("lender", "named"), [("gone", "by id"), ("another", "by name")])
def test_it_keeps_what_it_was_lent(lender: str, named: str, bed: Bed, tmp_path: Path) -> None:
    bed.image("app:1")
    lent = run(bed, "lender", "app:1", **SHARED)
    peer = {"HostConfig": {"VolumesFrom": ["lender" if named == "by name" else lent["Id"]]}}
    before = run(bed, "web", "app:1", **peer)
    bed.engine.remove(lent["Id"], force=True)
    if lender == "another":
        run(bed, "lender", "app:1", **OTHERWISE)
    new = bed.image("fresh:1")
    bed.engine.tag(new, "app", "1")
    outcome = update(bed, before, new, tmp_path)
    assert outcome.result is Result.UPDATED, outcome.reason
    assert mounts(look(bed, "web")) == mounts(before)
    assert not look(bed, "web")["HostConfig"].get("VolumesFrom")
