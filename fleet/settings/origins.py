"""What is set, and by what, for people: each setting with its value, where that comes from, and no secret."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from fleet.settings import sources
from fleet.settings.places import CONFIG_FILE

HIDDEN = "(secret)"
"""What stands for a secret that is set."""
DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting as a process would get it that is started now."""

    setting: str
    """``group.name``, as in the settings file."""
    value: str
    """Empty: nothing is set, and what is done then is up to the setting."""
    origin: str
    """The variable or the file that says so, else ``default``."""
    variable: str
    """The variable of the environment that would say so."""


def settings(kind: type[sources.ProcessSettings]) -> Iterator[Setting]:
    """Yield every setting of one kind of process; raises BadInput where one of them cannot be used."""
    environ = sources.environment()
    values = sources.read(kind)
    written = sources.from_file(kind, environ, kind.other_tables)
    file = environ.get("FLEET_CONFIG") or str(CONFIG_FILE)
    for path, field in sources.leaves(kind):
        variable = sources.env_name(path, field)
        by_variable = next((name for name in (variable, f"{variable}_FILE") if name in environ), "")
        by_file = file if _written(written, path) else ""
        yield Setting(
            setting=".".join(path),
            value=_shown(values, path, field),
            origin=by_variable or by_file or DEFAULT,
            variable=variable,
        )


def _written(document: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    found: Any = document
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return False
        found = found[name]
    return True


def _shown(values: Any, path: tuple[str, ...], field: FieldInfo) -> str:
    for name in path:
        values = getattr(values, name)
    if sources.is_secret(field):
        return HIDDEN if values.get_secret_value() else ""
    if isinstance(values, tuple):
        return ", ".join(values)
    return str(values).lower() if isinstance(values, bool) else str(values)
