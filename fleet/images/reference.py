"""What people call an image, by Docker's grammar: ``nginx``, ``ghcr.io/org/app:1.2``, ``localhost:5000/a@sha256:…``.

The grammar is that of the distribution project's ``reference`` package, with its rules for familiar names.
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from fleet.errors import BadInput
from fleet.images.digest import Digest

DOCKER_HUB = "docker.io"
"""The registry that a familiar name is read as naming."""
DEFAULT_TAG = "latest"
_LEGACY_HUB = "index.docker.io"
_OFFICIAL = "library/"
_LONGEST_NAME = 255
"""The longest repository path in characters, without its registry."""

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_REFERENCE = re.compile(rf"({_DOMAIN})/({_PART}(?:/{_PART})*)(?::({_TAG}))?(?:@(\S+))?")
_REGISTRY = re.compile(_DOMAIN)
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


def is_registry(text: str) -> bool:
    """Tell whether *text* may stand before the first slash of a reference: a host, and a port where one is named."""
    return _REGISTRY.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's full name: registry, repository, and a tag, a digest, both or neither."""

    registry: str
    """Host and port as written, ``docker.io`` for Docker Hub."""
    repository: str
    """The path within the registry, with ``library/`` for Docker's official images."""
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read *text* as Docker does; raise BadInput for what Docker refuses."""
        if _IMAGE_ID.fullmatch(text):
            raise _bad(text, "64 hex digits are an image id, not a name")
        registry, rest = _split(text)
        path = rest.partition(":")[0].partition("@")[0]
        if path != path.lower():
            raise _bad(text, "a repository's name is lower case")
        match = _REFERENCE.fullmatch(f"{registry}/{rest}")
        if match is None:
            raise _bad(text, "expected [registry/]repository[:tag][@digest]")
        if len(match[2]) > _LONGEST_NAME:
            raise _bad(text, f"a repository's name has at most {_LONGEST_NAME} characters")
        return cls(match[1], match[2], match[3], Digest.parse(match[4]) if match[4] else None)

    @property
    def name(self) -> str:
        """The registry and repository: ``docker.io/library/nginx``."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar(self) -> str:
        """The shortest spelling that Docker reads as this reference: ``nginx:1.27``."""
        return self._short_name() + self._suffix()

    @property
    def familiar_name(self) -> str:
        """The shortest spelling of the name alone: ``nginx``, ``ghcr.io/org/app``."""
        return self._short_name()

    @property
    def tag_or_latest(self) -> str:
        """The tag, or ``latest`` where none was written."""
        return self.tag or DEFAULT_TAG

    def with_tag_latest(self) -> Self:
        """Return this reference, given the tag ``latest`` if it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    def pinned(self, digest: Digest) -> Self:
        """Return this reference with *digest*, its tag kept."""
        return replace(self, digest=digest)

    def without_digest(self) -> Self:
        """Return this reference without its digest."""
        return replace(self, digest=None)

    def _short_name(self) -> str:
        if self.registry != DOCKER_HUB:
            return self.name
        official = self.repository.removeprefix(_OFFICIAL)
        for short in (official, self.repository):
            if not _IMAGE_ID.fullmatch(short + self._suffix()) and _split(short) == (DOCKER_HUB, self.repository):
                return short
        return self.name

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag

    def __str__(self) -> str:
        """Return the full spelling, from which ``parse`` makes an equal reference."""
        return self.name + self._suffix()


def _split(text: str) -> tuple[str, str]:
    """Split *text* into registry and rest by Docker's rule of what looks like a host."""
    first, slash, rest = text.partition("/")
    if not slash:
        return DOCKER_HUB, _OFFICIAL + text
    looks_like_host = first == "localhost" or "." in first or ":" in first or first != first.lower()
    registry, rest = (first, rest) if looks_like_host else (DOCKER_HUB, text)
    if registry == _LEGACY_HUB:
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in rest.partition("@")[0]:
        rest = _OFFICIAL + rest
    return registry, rest


def _bad(text: str, why: str) -> BadInput:
    return BadInput(f"cannot use {text[:300]!r} as an image reference; {why}")
