"""The ground that one lab stands on: a number, a folder in memory, a bridge; claimed by a name, so that labs do not meet."""

import os
import shutil
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fleet.errors import Refused

BASE = Path(os.environ.get("FLEET_LAB_DIR", "/var/tmp/fleet-lab"))
"""Not under /run, which each machine of the lab has for itself; short, since the path of a unix socket may have 107 bytes."""
NUMBERS = range(100, 200)
"""Labs at once; each takes one /24 of 10.77."""
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What belongs to one lab and to nobody else on this machine."""

    number: int
    claim: socket.socket
    """Holds the number: a name that is known wherever the bridge is, and free again when this process ends, however."""

    @property
    def folder(self) -> Path:
        """A file system in memory: engines and PostgreSQL sync a lot, and nothing here is worth a disk."""
        return BASE / str(self.number)

    @property
    def bridge(self) -> str:
        """The bridge between its machines, and its name in every other list of the kernel's."""
        return f"fleetlab{self.number}"

    @property
    def cable(self) -> str:
        """What the names of its machines' cables begin with."""
        return f"fl{self.number}v"

    def address(self, last: int) -> str:
        """Return an address of its network; 1 is this machine's own."""
        return f"10.77.{self.number}.{last}"


def claim() -> Place:
    """Take the first free place, clear what a lab that died has left there, and lay the ground."""
    for number in NUMBERS:
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0fleet-lab-{number}")
        except OSError:
            name.close()
            continue
        place = Place(number=number, claim=name)
        clear(place)
        _lay(place)
        return place
    raise Refused(f"cannot start a lab: {len(NUMBERS)} are running on this machine")


def release(place: Place) -> None:
    """Remove all that the lab had, and let others have the place."""
    clear(place)
    place.claim.close()


def clear(place: Place) -> None:
    """Remove bridge, folder and cgroups of the lab at *place*; its machines must have ended."""
    # The kernel takes namespaces apart at leisure, so their cables may be there still.
    for link in (place.bridge, *(at.name for at in Path("/sys/class/net").glob(f"{place.cable}*"))):
        subprocess.run(["ip", "link", "del", link], capture_output=True, check=False)
    while os.path.ismount(place.folder):
        subprocess.run(["umount", "--lazy", place.folder], check=True)
    shutil.rmtree(place.folder, ignore_errors=True)
    for top in (*_CGROUPS.glob(place.bridge), *_CGROUPS.glob(f"*/{place.bridge}")):
        for folder, _, _ in os.walk(top, topdown=False):
            # A process that is still ending keeps one; the next lab at this place removes it.
            with suppress(OSError):
                Path(folder).rmdir()


def _lay(place: Place) -> None:
    place.folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=60%", place.bridge, place.folder], check=True)
    subprocess.run(["ip", "link", "add", place.bridge, "type", "bridge"], check=True)
    subprocess.run(["ip", "addr", "add", f"{place.address(1)}/24", "dev", place.bridge], check=True)
    subprocess.run(["ip", "link", "set", place.bridge, "up"], check=True)
