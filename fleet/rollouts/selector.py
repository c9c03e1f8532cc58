"""Which hosts, containers and images something is about, as people name them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from fleet.errors import BadInput
from fleet.images.reference import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """What all of its parts agree on; an empty part agrees on everything. Names may be globs: ``web-*``."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    hosts: tuple[str, ...] = ()
    """Names of hosts; one that matches is enough."""
    labels: dict[str, str] = field(default_factory=dict)
    """Labels of hosts; every one must match."""
    containers: tuple[str, ...] = ()
    """Names of containers; one that matches is enough."""
    images: tuple[str, ...] = ()
    """References, with or without a tag, or globs over the full or the short name; one that matches is enough."""

    @classmethod
    def parse(cls, document: Any) -> "Selector":
        """Read a selector from its document; raises BadInput that names the part which cannot be used."""
        try:
            return _ADAPTER.validate_python(document)
        except ValidationError as broken:
            first = broken.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the document"
            raise BadInput(f"cannot use the selector: {where}: {first['msg']}") from None

    def document(self) -> dict[str, Any]:
        """Return the selector as JSON holds it; :meth:`parse` reads it back."""
        written: dict[str, Any] = _ADAPTER.dump_python(self, mode="json", exclude_defaults=True)
        return written

    def takes_host(self, name: str, labels: Mapping[str, str]) -> bool:
        """Tell whether a host is meant."""
        return _any(self.hosts, (name,)) and all(
            key in labels and fnmatchcase(labels[key], value) for key, value in self.labels.items()
        )

    def takes_container(self, name: str, image: str) -> bool:
        """Tell whether a container with *name* that follows *image* (canonical, empty: none) is meant."""
        return _any(self.containers, (name,)) and (not self.images or _takes_image(self.images, image))


def _any(globs: Iterable[str], names: tuple[str, ...]) -> bool:
    globs = tuple(globs)
    return not globs or any(fnmatchcase(name, glob) for glob in globs for name in names)


def is_glob(text: str) -> bool:
    """Tell whether *text* may be meant for several names, and not for one."""
    return any(sign in text for sign in "*?[")


def loose(glob: str) -> str:
    """Return *glob* without ``[...]``, of which each stands for one sign: it takes what *glob* takes, and maybe more."""
    written, place = "", 0
    while place < len(glob):
        end = _end_of_set(glob, place) if glob[place] == "[" else 0
        written += "?" if end else glob[place]
        place = end or place + 1
    return written


def _end_of_set(glob: str, begin: int) -> int:
    """Return where the set of signs ends that begins with this bracket, as fnmatch reads it; 0: it is a bracket and nothing else."""
    first = begin + 2 if glob[begin + 1 : begin + 2] == "!" else begin + 1
    # A bracket that closes and comes first is one of the signs.
    return glob.find("]", first + 1 if glob[first : first + 1] == "]" else first) + 1


def _takes_image(globs: tuple[str, ...], image: str) -> bool:
    if not image:
        return False
    reference = Reference.parse(image)
    names = (image, reference.name, reference.familiar, reference.familiar_name)
    return _any((*globs, *map(_full, globs)), names)


def _full(written: str) -> str:
    """Return *written* in full (``nginx`` is ``docker.io/library/nginx``), or as it is where it is a glob."""
    try:
        return str(Reference.parse(written).without_digest())
    except BadInput:
        return written


_ADAPTER: TypeAdapter[Selector] = TypeAdapter(Selector)
