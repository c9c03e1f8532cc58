"""Where things lie on a machine when nobody says otherwise. Light: the command line reads it at every start."""

import os
from pathlib import Path

CONFIG_FILE = Path("/etc/fleet/fleet.toml")
"""Read where it is there; ``FLEET_CONFIG`` names another, which then must be there."""


def state_dir() -> Path:
    """Return where Fleet keeps what must survive: ``/var/lib/fleet`` for root, else ``~/.local/share/fleet``."""
    if os.geteuid() == 0:
        return Path("/var/lib/fleet")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "fleet"


def socket(state: Path) -> Path:
    """Return the unix socket of the API, guarded by its permissions: in the state directory."""
    return state / "fleet.sock"


def local_join_file(state: Path) -> Path:
    """Return the join file of the machine that ``fleet up`` runs on."""
    return state / "host.join"
