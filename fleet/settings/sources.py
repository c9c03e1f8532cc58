"""Where settings come from: the environment (``FLEET_GROUP_NAME``, or ``..._FILE`` for a secret), then one TOML file.

Whatever is misspelled is refused with the name that was probably meant: a setting that is silently ignored is found
out only by the damage.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from fleet.errors import BadInput
from fleet.settings.places import CONFIG_FILE

PREFIX = "FLEET_"
_ALIKE = 0.9
"""How alike a name must be to count as misspelled (one letter of the shortest); below that it is another program's."""

Section = dict[str, Any]
SettingsT = TypeVar("SettingsT", bound=BaseSettings)


class Mapped(PydanticBaseSettingsSource):
    """Values that were read already, as a source of pydantic-settings."""

    def __init__(self, settings_cls: type[BaseSettings], values: Section) -> None:
        super().__init__(settings_cls)
        self._values = values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the value of one field."""
        return self._values.get(field_name), field_name, False

    def __call__(self) -> Section:
        """Return all values."""
        return self._values


class ProcessSettings(BaseSettings):
    """The settings of one kind of process: what was given, then the environment, then the file."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    other_tables: ClassVar[tuple[str, ...]] = ()
    """Tables of the same file that other programs read."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put our own sources in the place of the library's."""
        environ = environment()
        return (
            init_settings,
            Mapped(settings_cls, from_environment(settings_cls, environ)),
            Mapped(settings_cls, from_file(settings_cls, environ, cls.other_tables)),
        )


def read(settings: type[SettingsT], given: Mapping[str, Any] | None = None) -> SettingsT:
    """Return *settings*, with *given* before environment and file.

    Raise BadInput that names the setting which cannot be used, and never its value.
    """
    try:
        return settings(**(given or {}))
    except ValidationError as broken:
        raise BadInput("cannot use the settings: " + "; ".join(_told(settings, e) for e in _errors(broken))) from None


def from_environment(settings: type[BaseSettings], environ: Mapping[str, str]) -> Section:
    """Return what the environment sets; raise BadInput for a misspelled name or an unreadable ``_FILE``."""
    names = {env_name(path, field): (path, field) for path, field in leaves(settings)}
    found: Section = {}
    for name, (path, field) in names.items():
        if (value := _value(name, field, environ)) is not None:
            _put(found, path, value)
    _refuse_misspelled(environ, [*names, *(f"{n}_FILE" for n, (_, f) in names.items() if is_secret(f))])
    return found


def from_file(settings: type[BaseSettings], environ: Mapping[str, str], others: tuple[str, ...] = ()) -> Section:
    """Return what the TOML file sets, without the tables of *others*; raise BadInput for an unknown key."""
    named = environ.get("FLEET_CONFIG", "")
    path = Path(named or CONFIG_FILE)
    if not named and not path.exists():
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise BadInput(f"cannot read the settings {path}: {e.strerror}") from e
    except ValueError as e:
        raise BadInput(f"cannot read the settings {path}: {e}") from None
    document = {key: value for key, value in document.items() if key not in others}
    _refuse_unknown(settings, document, path, "")
    return document


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield every setting with its place: ``("broker", "url")``."""
    for name, field in model.model_fields.items():
        group = _group(field)
        if group is None:
            yield (*path, name), field
        else:
            yield from leaves(group, (*path, name))


def env_name(path: tuple[str, ...], field: FieldInfo) -> str:
    """Return the variable of a setting: its own where it has one, else ``FLEET_GROUP_NAME``."""
    extra = field.json_schema_extra
    own = extra.get("env") if isinstance(extra, dict) else None
    return str(own or PREFIX + "_".join(path).upper())


def is_secret(field: FieldInfo) -> bool:
    """Tell whether a setting is one that ``_FILE`` may hold."""
    return field.annotation is SecretStr


def _group(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _value(name: str, field: FieldInfo, environ: Mapping[str, str]) -> Any:
    file = environ.get(f"{name}_FILE", "") if is_secret(field) else ""
    if file and name in environ:
        raise BadInput(f"cannot use both {name} and {name}_FILE; unset one of them")
    if file:
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as e:
            raise BadInput(f"cannot read {name}_FILE: {getattr(e, 'strerror', None) or 'not a text file'}") from e
    value = environ.get(name)
    if value is not None and field.annotation == tuple[str, ...]:
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _put(section: Section, path: tuple[str, ...], value: Any) -> None:
    for group in path[:-1]:
        section = section.setdefault(group, {})
    section[path[-1]] = value


def _refuse_misspelled(environ: Mapping[str, str], known: list[str]) -> None:
    # Other programs of Fleet have variables of their own, so only what looks like one of these is refused.
    for name in environ:
        if name.startswith(PREFIX) and name not in (*known, "FLEET_CONFIG"):
            close = difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
            if close and not close[0].endswith(name.removeprefix(PREFIX)):
                raise BadInput(f"cannot use {name}: there is no such setting; did you mean {close[0]}?")


def _refuse_unknown(model: type[BaseModel], document: Section, file: Path, where: str) -> None:
    for key, value in document.items():
        field = model.model_fields.get(key)
        if field is None:
            close = difflib.get_close_matches(key, model.model_fields, n=1)
            hint = f"did you mean {where}{close[0]}?" if close else f"known are {', '.join(model.model_fields)}"
            raise BadInput(f"cannot use {where}{key} in {file}: there is no such setting; {hint}")
        group = _group(field)
        if group is not None and isinstance(value, dict):
            _refuse_unknown(group, value, file, f"{where}{key}.")


def _errors(broken: ValidationError) -> list[Any]:
    return broken.errors(include_url=False, include_input=False, include_context=False)


def _told(settings: type[BaseSettings], error: Any) -> str:
    path = tuple(str(part) for part in error["loc"])
    names = {place: env_name(place, field) for place, field in leaves(settings)}
    variable = next((name for place, name in names.items() if path[: len(place)] == place), "")
    return f"{'.'.join(path)}{f' ({variable})' if variable else ''}: {error['msg']}"


def environment() -> Mapping[str, str]:
    """Return the environment of this process: the one place where it is read."""
    return os.environ
