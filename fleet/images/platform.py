"""The platform that an image is built for, and which platforms a machine can run."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from fleet.errors import BadInput

_OS_NAMES = {"macos": "darwin"}
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
}
"""What kernels and people call an architecture, and what images call it."""
_PLAIN_VARIANTS = {("amd64", "v1"), ("arm64", "v8"), ("386", "")}
"""Variants that go without saying, as containerd normalises them."""
_OLDEST_ARM = 5
_PART = re.compile(r"[a-z0-9_.-]{1,64}")
"""What one part may be made of, as engines read it (containerd, ``platforms.go: specifierRe``)."""


@dataclass(frozen=True, slots=True)
class Platform:
    """Operating system, architecture and variant, as an image index names them: ``linux/arm/v7``."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    """Windows' build, ``10.0.20348.2113``; empty elsewhere."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``os/architecture[/variant]``, with the names kernels use too; raise BadInput for other shapes."""
        parts = text.strip().lower().split("/")
        if len(parts) not in (2, 3) or not all(map(_PART.fullmatch, parts)):
            raise BadInput(f"cannot use {text[:80]!r} as a platform; expected one like linux/amd64 or linux/arm/v7")
        return cls(*parts).normalise()

    def normalise(self) -> Self:
        """Return this platform in the one spelling by which platforms compare: ``x86_64`` is ``amd64``."""
        architecture, variant = self.architecture.lower(), self.variant.lower()
        if architecture in _ARCHITECTURES:
            architecture, implied = _ARCHITECTURES[architecture]
            variant = variant or implied
        if variant.isdigit():
            variant = f"v{variant}"
        if architecture == "arm" and not variant:
            variant = "v7"
        if (architecture, variant) in _PLAIN_VARIANTS:
            variant = ""
        os = self.os.lower()
        return replace(self, os=_OS_NAMES.get(os, os), architecture=architecture, variant=variant)

    def matches(self, offered: "Platform") -> bool:
        """Tell whether a machine of this platform runs an image built for *offered*."""
        return self.choose([offered]) is not None

    def choose(self, offers: Sequence["Platform | None"]) -> int | None:
        """Return the index of the best of *offers* for this machine, or None where none runs; the first wins a tie."""
        spelled = [offer.normalise() if offer else None for offer in offers]
        for wanted in self._runnable():
            for index, offer in enumerate(spelled):
                if offer is not None and wanted == replace(offer, os_version="") and self._same_build(offer):
                    return index
        return None

    def _runnable(self) -> Iterable["Platform"]:
        """Yield what this machine runs, best first, by the order that containerd uses."""
        own = replace(self.normalise(), os_version="")
        yield own
        if own.architecture == "amd64":
            yield from (Platform(own.os, "amd64", f"v{n}") for n in range(_number(own.variant, 1) - 1, 1, -1))
            yield from (Platform(own.os, "amd64"), Platform(own.os, "386"))
        if own.architecture == "arm":
            yield from _arm(own.os, _number(own.variant, 7) - 1)
        if own.architecture == "arm64":
            yield Platform(own.os, "arm64")
            yield from _arm(own.os, 8)

    def _same_build(self, offer: "Platform") -> bool:
        """Tell whether Windows builds agree in their first three numbers; others have no build to differ in."""
        if not (self.os_version and offer.os_version):
            return True
        return self.os_version.split(".")[:3] == offer.os_version.split(".")[:3]

    def __str__(self) -> str:
        """Return ``os/architecture[/variant]``."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def readable(text: str) -> str:
    """Return *text* where it is a platform, else empty: the config of an image says what its builder likes."""
    try:
        Platform.parse(text)
    except BadInput:
        return ""
    return text


def _number(variant: str, default: int) -> int:
    """Return the 7 of ``v7``."""
    digits = variant.removeprefix("v")
    return int(digits) if digits.isdigit() else default


def _arm(os: str, newest: int) -> Iterable[Platform]:
    """Yield the 32-bit ARM variants from *newest* down."""
    return (Platform(os, "arm", f"v{n}") for n in range(newest, _OLDEST_ARM - 1, -1))
