"""What every request and every answer of the API has."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SCHEMA: Literal["v1"] = "v1"
"""The version of the answers' schema; a field may be added within it, never removed or given another meaning."""


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a name has 1 to 63 letters, digits, dots, dashes and underscores, the first no sign")
    return name


Name = Annotated[
    str, AfterValidator(_checked_name), Field(json_schema_extra={"pattern": f"^{_NAME.pattern}$", "maxLength": 63})
]
"""What a host, a schedule or a token may be called."""


class Request(BaseModel):
    """What a caller sends; a field that is not known is refused, so that no wish is silently dropped."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
