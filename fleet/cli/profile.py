"""The table ``[client]`` of the settings file: where the server is, for who does not want to say it each time.

    [client]
    server = "https://fleet.lan:8443"
    token_file = "/home/anna/.config/fleet/token"
    ca_file = "/etc/fleet/ca.crt"

Options and the environment come first. The file is ``FLEET_CONFIG``, else ``~/.config/fleet/config.toml``, else
``/etc/fleet/fleet.toml``.
"""

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fleet.errors import BadInput

KEYS = ("server", "token_file", "ca_file")


def read() -> dict[str, str]:
    """Return what the first file that has the table says; raise BadInput for one that cannot be used."""
    for path, must in _files():
        table = _document(path, must).get("client")
        if table is not None:
            return _checked(table, path)
    return {}


def _files() -> Iterator[tuple[Path, bool]]:
    from fleet.settings.places import CONFIG_FILE

    if named := os.environ.get("FLEET_CONFIG"):
        yield Path(named), True
        return
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    yield Path(home) / "fleet" / "config.toml", False
    yield CONFIG_FILE, False


def _document(path: Path, must: bool) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        if must:
            raise BadInput(f"cannot read the settings {path}: {e.strerror}") from e
        return {}  # not there, or the centre's, which this user may not read
    except ValueError as e:
        raise BadInput(f"cannot read the settings {path}: {e}") from None


def _checked(table: Any, path: Path) -> dict[str, str]:
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise BadInput(f"cannot use client in {path}: expected a table of texts")
    for key in table:
        if key not in KEYS:
            close = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(KEYS)}"
            raise BadInput(f"cannot use client.{key} in {path}: there is no such setting; {hint}")
    return table
