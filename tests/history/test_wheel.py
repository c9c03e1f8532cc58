"""The wheel carries the migrations to where the program looks for them."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
_UPGRADE = "import sys; from fleet.history.upkeep.upgrade import upgrade, migrations; upgrade(sys.argv[1]); print(migrations())"


def test_a_wheel_upgrades_a_database_by_itself(tmp_path: Path) -> None:
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    name = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()[-1]
    unpacked = tmp_path / "site"
    with zipfile.ZipFile(tmp_path / name) as wheel:
        wheel.extractall(unpacked)
    # From elsewhere, and with the wheel first, so that nothing of this working tree is found.
    ran = subprocess.run(
        [sys.executable, "-P", "-c", _UPGRADE, f"sqlite:///{tmp_path / 'fleet.db'}"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(unpacked), "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert ran.stdout.strip() == str(unpacked / "fleet" / "_migrations")
