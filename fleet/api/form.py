"""What every request and every answer of the API has."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

SCHEMA: Literal["v1"] = "v1"
"""The version of the answers' schema; a field may be added within it, never removed or given another meaning."""


_HALF = re.compile("[\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a name has 1 to 63 letters, digits, dots, dashes and underscores, the first no sign")
    return name


Name = Annotated[
    str, AfterValidator(_checked_name), Field(json_schema_extra={"pattern": f"^{_NAME.pattern}$", "maxLength": 63})
]
"""What a host, a schedule or a token may be called."""


_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""A day from the ends of the calendar: what is later in one zone must be a time in every other."""


def _in_utc(at: datetime) -> datetime:
    return min(max(at, _FIRST), _LAST).astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time with its zone, as RFC 3339 writes it; at the ends of the calendar the first or the last that every zone has."""


class Request(BaseModel):
    """What a caller sends; a field that is not known is refused, so that no wish is silently dropped."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _is_text(cls, given: Any) -> Any:
        """Refuse what no database takes for text, wherever it stands."""
        if _holds_no_text(given):
            raise ValueError("a text in it holds a NUL, or half of a pair of surrogates")
        return given


def _holds_no_text(given: Any) -> bool:
    match given:
        case str():
            return "\0" in given or _HALF.search(given) is not None
        case dict():
            return any(_holds_no_text(key) or _holds_no_text(value) for key, value in given.items())
        case list() | tuple():
            return any(map(_holds_no_text, given))
        case _:
            return False


class Part(BaseModel):
    """A piece of an answer; a field that this program does not know yet is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, from_attributes=True)


class Answer(Part):
    """A whole answer; it names its schema, and so does everything that is printed as JSON."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        from_attributes=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    schema_version: Literal["v1"] = Field(default=SCHEMA, alias="schema")

    def document(self) -> dict[str, Any]:
        """Return the answer as JSON holds it, ``schema`` first."""
        written: dict[str, Any] = self.model_dump(mode="json")
        return {"schema": written.pop("schema"), **written}


class Done(Answer):
    """It was done, and there is nothing else to say."""

    done: Literal[True] = True
