"""What a registry asks for when it answers 401: the challenges of ``WWW-Authenticate`` (RFC 9110, RFC 6750)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105
_PARAMETER = re.compile(rf'\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|$|(?<=\s))')
"""As servers write it: also with a URL that is not quoted, and without a comma after it."""
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?:\s+|$|,)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to prove who one is: a scheme in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Read the *values* of all ``WWW-Authenticate`` headers; what cannot be read is left out."""
    return tuple(challenge for value in values for challenge in _challenges(value))


def pull_scope(challenge: Challenge, path: str) -> str:
    """Return the scope to ask for: the challenge's repositories, for pulling only, else *path*; empty for neither.

    A token that can do more than pull is worth stealing, and some registries' challenges ask for more.
    """
    named = [item.rsplit(":", 1)[0] for item in challenge.parameters.get("scope", "").split() if item.count(":") >= 2]
    repositories = [item for item in named if item.startswith("repository:")]
    if not repositories and path:
        repositories = [f"repository:{path}"]
    return " ".join(f"{item}:pull" for item in repositories)


def _challenges(value: str) -> Iterable[Challenge]:
    position = 0
    while match := _SCHEME.match(value, position):
        position = match.end()
        parameters: dict[str, str] = {}
        while pair := _PARAMETER.match(value, position):
            position = pair.end()
            quoted, plain = pair[2], pair[3]
            parameters[pair[1].lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        yield Challenge(match[1].lower(), parameters)
