"""Whom to believe which digest a tag has, and when (pure): what people write under ``[resolve]`` of a policy.

It stays at the centre: orders carry digests, and hosts never ask again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fleet.errors import BadInput
from fleet.rollouts.written import Wait
from fleet.rollouts.written_errors import POLICY_PAGE, FieldsAt, told


class WithoutOrigin(StrEnum):
    """Who says what a tag has where its origin cannot be asked, neither by the centre nor by a host."""

    LAST_KNOWN = "last-known"
    """Nobody: what the origin last said holds on, and is shown as an older answer."""
    MIRRORS = "mirrors"
    """The first mirror that the policy lets resolve (``resolve = true``) and that answers."""
    QUORUM = "quorum"
    """Such mirrors, where as many agree as ``quorum`` says."""
    FAIL = "fail"
    """Nobody, and nothing is updated until the origin answers again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvePolicy:
    """Whom to believe, and when; made without arguments, the origin alone and what it last said."""

    without_origin: WithoutOrigin = WithoutOrigin.LAST_KNOWN
    quorum: int = 2
    """How many mirrors must agree."""
    allow_back: tuple[str, ...] = ()
    """Images (globs over registry/repository:tag) whose tag may move back to a digest that it had before."""
    min_age_ms: int = 0
    """How long a digest must have been seen by Fleet before it is rolled out; counted from Fleet's own first sight."""

    def may_go_back(self, image: str) -> bool:
        """Tell whether the tag *image* may go back to a digest that it had before."""
        return any(fnmatchcase(image, glob) for glob in self.allow_back)

    def too_young(self, first_seen_at: datetime | None, now: datetime) -> timedelta | None:
        """Return how long a digest that was first seen then has still to wait, None where it need not.

        Where its first sight is not known, it counts as now.
        """
        left = (first_seen_at or now) + timedelta(milliseconds=self.min_age_ms) - now
        return left if left > timedelta() else None


ORIGIN_ALONE = ResolvePolicy()
"""What holds where nobody wrote anything."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")

    without_origin: WithoutOrigin = WithoutOrigin.LAST_KNOWN
    quorum: int = Field(default=2, ge=1, le=100, strict=True)
    allow_back: bool | list[str] = Field(default=False)
    min_age: Wait = 0


_FIELDS_AT: FieldsAt = {("resolve",): sorted(_Form.model_fields)}


def read_resolve(document: Mapping[str, Any], where: str = "the policy") -> ResolvePolicy:
    """Return what the policy *document* says under ``resolve``; raises BadInput that names what cannot be used."""
    try:
        form = _Form.model_validate(document.get("resolve", {}))
    except ValidationError as broken:
        raise BadInput(told(broken, where, None, _FIELDS_AT, under=("resolve",), page=POLICY_PAGE)) from None
    back = form.allow_back
    globs = tuple(back) if isinstance(back, list) else ("*",) if back else ()
    return ResolvePolicy(
        without_origin=form.without_origin, quorum=form.quorum, allow_back=globs, min_age_ms=form.min_age
    )
