"""Where the server is, for who does not want to say it each time: the tables ``[client]`` and ``[contexts.NAME]`` of the file.

    [client]
    server = "https://fleet.lan:8443"
    token_file = "/home/anna/.config/fleet/token"
    ca_file = "/etc/fleet/ca.crt"

    [contexts.paris]
    server = "https://fleet.paris.lan:8443"

Options and the environment come first, then the context that is used, then ``[client]``. The file is ``FLEET_CONFIG``,
else ``~/.config/fleet/config.toml``, else ``/etc/fleet/fleet.toml``.
"""

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fleet.errors import BadInput, NotFound, Refused

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
KEYS = ("server", "token_file", "ca_file")


def read() -> dict[str, str]:
    """Return what the first file that has the table says; raise BadInput for one that cannot be used."""
    for path, must in _files():
        table = _document(path, must).get("client")
        if table is not None:
            return _checked(table, path, "client")
    return {}


def contexts() -> dict[str, dict[str, str]]:
    """Return the contexts of the first file that has any, by name; raise BadInput for one that cannot be used."""
    for path, must in _files():
        tables = _document(path, must).get("contexts")
        if tables is None:
            continue
        if not isinstance(tables, dict):
            raise BadInput(f"cannot use contexts in {path}: expected tables such as [contexts.paris]")
        return {name: _checked(table, path, f"contexts.{name}") for name, table in tables.items()}
    return {}


def context(name: str) -> dict[str, str]:
    """Return one context, with a server in it; raise NotFound, and BadInput where it has none."""
    known = contexts()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "see: fleet context ls"
        raise NotFound(f"cannot find the context {name[:80]!r}; {hint}")
    if not known[name].get("server"):
        raise BadInput(f"cannot use the context {name}: it names no server")
    return known[name]


def used() -> str:
    """Return the name of the context that is used where none is named; empty: none is."""
    try:
        return _used_file().read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as e:
        raise BadInput(f"cannot read {_used_file()}: {getattr(e, 'strerror', None) or 'not a text file'}") from e


def use(name: str) -> None:
    """Let a context be used where none is named; an empty name: none any more."""
    try:
        if name:
            _used_file().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _used_file().write_text(f"{name}\n", encoding="utf-8")
        else:
            _used_file().unlink(missing_ok=True)
    except OSError as e:
        raise BadInput(f"cannot write {_used_file()}: {e.strerror}") from e


def add(name: str, said: Mapping[str, str]) -> Path:
    """Write a new context at the end of this user's file, of which nothing else is touched; return the file.

    Raises BadInput for a name that cannot be one, Refused for one that is taken.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f"cannot use {name[:80]!r} as a context's name; give letters, digits, dashes and underscores")
    path = Path(os.environ.get("FLEET_CONFIG") or _folder() / "config.toml")
    tables = _document(path, must=False).get("contexts", {})
    if name in tables:
        raise Refused(f"cannot add the context {name}: {path} has one of this name; change it there")
    # A basic string of TOML is written as one of JSON is.
    lines = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in said.items())
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{gap}[contexts.{name}]\n{lines}")
    except OSError as e:
        raise BadInput(f"cannot write {path}: {e.strerror}") from e
    return path


def _used_file() -> Path:
    return _folder() / "context"


def _folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "fleet"


def _files() -> Iterator[tuple[Path, bool]]:
    from fleet.settings.places import CONFIG_FILE

    if named := os.environ.get("FLEET_CONFIG"):
        yield Path(named), True
        return
    yield _folder() / "config.toml", False
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


def _checked(table: Any, path: Path, where: str) -> dict[str, str]:
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise BadInput(f"cannot use {where} in {path}: expected a table of texts")
    for key in table:
        if key not in KEYS:
            close = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(KEYS)}"
            raise BadInput(f"cannot use {where}.{key} in {path}: there is no such setting; {hint}")
    return table
