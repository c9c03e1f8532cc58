"""What a rollout was told to do: immutable once planned; a change is a new rollout."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from fleet.errors import BadInput

SPEC_VERSION = 1
"""The version of the document that this program writes."""

_MINUTE_MS = 60_000
_DAY_MS = 24 * 60 * _MINUTE_MS
_FORBID = ConfigDict(extra="forbid")

Positive = Annotated[int, Field(gt=0)]
Milliseconds = Annotated[int, Field(gt=0, le=366 * _DAY_MS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveSpec:
    """One wave. So far there is one form: all hosts that no earlier wave took."""

    __pydantic_config__ = _FORBID

    size: Literal["rest"] = "rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrySpec:
    """How one host is tried, and tried again."""

    __pydantic_config__ = _FORBID

    dispatch_ttl_ms: Milliseconds = 10 * _MINUTE_MS
    """How long an offer may go unanswered; then the host is pending again, and no try was spent."""
    pull_timeout_ms: Milliseconds = 60 * _MINUTE_MS
    """How long from the order until the host must be ready."""
    apply_timeout_ms: Milliseconds = 15 * _MINUTE_MS
    """How long from the go until every outcome must be there."""
    max: Positive = 2
    """How many orders one host gets at most."""
    backoff_ms: Milliseconds = _MINUTE_MS
    """The wait before the second try; it doubles with each one after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSpec:
    """Waves, limits and times of one rollout."""

    __pydantic_config__ = _FORBID

    version: Literal[1] = 1
    waves: tuple[WaveSpec, ...] = (WaveSpec(),)
    max_parallel: Positive = 25
    """How many hosts are live at once."""
    tries: TrySpec = TrySpec()
    expires_ms: Milliseconds = 30 * _DAY_MS
    """How long the rollout may take from its creation."""

    @classmethod
    def parse(cls, document: Any) -> "RolloutSpec":
        """Read a spec from its document; raises BadInput that names the field which cannot be used."""
        try:
            spec = _ADAPTER.validate_python(document)
        except ValidationError as broken:
            first = broken.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the document"
            raise BadInput(f"cannot use the rollout's spec: {where}: {first['msg']}") from None
        if len(spec.waves) != 1:
            raise BadInput(f"cannot use {len(spec.waves)} waves: a rollout has exactly one so far, of size rest")
        return spec

    def document(self) -> dict[str, Any]:
        """Return the spec as JSON holds it; :meth:`parse` reads it back."""
        written: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return written


_ADAPTER: TypeAdapter[RolloutSpec] = TypeAdapter(RolloutSpec)
