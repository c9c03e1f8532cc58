"""What is wrong with a document that people wrote: its line, its field, and what to write instead."""

import difflib
from collections.abc import Collection, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fleet.rollouts.marked import Marked, Path

FieldsAt = Mapping[tuple[str, ...], Collection[str]]
"""The fields of each table, by where it stands; places in lists do not count."""

_DAY_MS = 86_400_000
_SECOND_MS = 1000


SPEC_PAGE, POLICY_PAGE = "docs/rollout-spec.md", "docs/how-to/policy.md"
"""Where the fields of a document stand, for people."""


def told(
    broken: ValidationError,
    where: str,
    marked: Marked | None,
    known: FieldsAt,
    *,
    under: tuple[str, ...] = (),
    page: str = SPEC_PAGE,
) -> str:
    """Return the first thing that is wrong with what stands at *where*, as a sentence that begins with "cannot".

    *under* is the table of the document that was read by itself; *page* tells of all fields.
    """
    first = broken.errors(include_url=False, include_input=False)[0]
    path: Path = (*under, *first["loc"])
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return at(where, marked, path, f"there is no such field here{_meant(path, known, page)}")
    return at(where, marked, path, _remedy(first, path))


def at(where: str, marked: Marked | None, path: Path, why: str) -> str:
    """Return that the value at *path* of what stands at *where* cannot be used, and *why*."""
    line = marked.line(path) if marked is not None else None
    named = ".".join(str(part) for part in path if part != "") or "the document"
    return f"cannot use {where}: {f'line {line}, ' if line else ''}{named}: {why}"


def _remedy(error: ErrorDetails, path: Path) -> str:
    """Return what to write instead; what the library says is about its own types."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _REMEDIES:
        return _REMEDIES[kind]
    if kind.startswith("datetime"):
        return "give a time with its zone, such as 2026-12-24T00:00:00Z"
    sign, bound = next(((name, context[name]) for name in _BOUNDS if name in context), ("", 0))
    if sign:
        named = next((str(part) for part in reversed(path) if isinstance(part, str)), "")
        return f"give {_BOUNDS[sign]} {_duration(bound) if named in _DURATIONS else bound}"
    return error["msg"].removeprefix("Value error, ").replace("Input should be", "give")


def _duration(ms: int) -> str:
    """Return a bound of milliseconds as it would be written."""
    return f"{ms // _DAY_MS}d" if ms and ms % _DAY_MS == 0 else f"{ms // _SECOND_MS}s"


def _meant(path: Path, known: FieldsAt, page: str) -> str:
    *above, name = (part for part in path if isinstance(part, str))
    anywhere = sorted({each for names in known.values() for each in names})
    near = difflib.get_close_matches(name, known.get(tuple(above), anywhere), n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; it belongs elsewhere, see {page}" if name in anywhere else f"; see {page}"


_BOUNDS = {
    "gt": "more than",
    "ge": "at least",
    "le": "at most",
    "min_length": "at least",
    "max_length": "at most",
}
_DURATIONS = frozenset(
    (
        "soak",
        "deadline",
        "dispatch_ttl",
        "pull_timeout",
        "apply_timeout",
        "backoff",
        "min_healthy_time",
        "catch_up",
        "after",
        "duration",
        "cutoff",
        "min_release_age",
        "expires",
    )
)
_REMEDIES = {
    "missing": "this field is missing; give it",
    "int_type": "give a whole number, without quotes",
    "string_type": 'give text; numbers and true or false in quotes, such as "1"',
    "bool_type": "give true or false",
    "tuple_type": "give a list, such as [a, b]",
    "list_type": "give a list, such as [a, b]",
    "dict_type": "give fields, such as {site: berlin}",
    "model_type": "give fields with their values, such as {max_parallel: 3}",
    "dataclass_type": "give fields with their values, such as {hosts: [web-1]}",
    "string_pattern_mismatch": "give park or wait",
}
