"""Which containers a policy lets be updated: by name, image, label and scope. Pure.

What people write under ``[select]`` of a policy. A container that it leaves out is still shown, with the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from fleet.errors import BadInput
from fleet.rollouts.selector import Selector
from fleet.rollouts.written_errors import POLICY_PAGE, told
from fleet.updates.labels import label, says, scope

_FORBID = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Containers:
    """Containers that are meant, by globs; within a list one that fits is enough."""

    __pydantic_config__ = _FORBID

    names: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    """References, with or without a tag, or globs over the full or the short name."""
    labels: dict[str, str] = field(default_factory=dict)
    """Labels of containers; the agent tells of ``fleet.*``, Watchtower's and Compose's alone."""

    def __bool__(self) -> bool:
        """Tell whether anything is named."""
        return bool(self.names or self.images or self.labels)

    def fits(self, name: str, image: str, labels: Mapping[str, str]) -> dict[str, bool]:
        """Return for each list that names something whether the container is in it."""
        found = {}
        if self.names:
            found["name"] = Selector(containers=self.names).takes_container(name, image)
        if self.images:
            found["image"] = Selector(images=self.images).takes_container(name, image)
        if self.labels:
            found["label"] = any(fnmatchcase(labels[key], glob) for key, glob in self.labels.items() if key in labels)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a policy says of which containers are updated; empty: all that their labels allow."""

    __pydantic_config__ = _FORBID

    only_enabled: bool = False
    """Whether a container is updated only where its label enable is true."""
    monitor_only: bool = False
    """Whether nothing is updated, only told of."""
    labels_win: bool = False
    """Whether a label monitor-only=false overrides *monitor_only*."""
    scopes: tuple[str, ...] = ()
    """The scopes that are updated, ``none`` for containers without one; empty: every scope."""
    include: Containers = field(default_factory=Containers)
    """Where lists are given, a container must be in each of them."""
    exclude: Containers = field(default_factory=Containers)
    """A container that is in one of the lists is left out."""

    @classmethod
    def parse(cls, document: Any, where: str = "the selection") -> "Selection":
        """Read a selection from its document, written at *where*; raises BadInput that names what cannot be used."""
        try:
            return _ADAPTER.validate_python(document)
        except ValidationError as broken:
            raise BadInput(told(broken, where, None, _FIELDS_AT, under=("select",), page=POLICY_PAGE)) from None

    def leaves_out(self, name: str, image: str, labels: Mapping[str, str]) -> str:
        """Return why the policy leaves a container out, or empty; *image* is canonical, empty: it follows none."""
        if self.only_enabled and says(labels, "enable") is not True:
            return "its policy takes only containers with the label enable=true"
        if self.scopes and scope(labels) not in self.scopes:
            said = label(labels, "scope")
            return f"its scope {said} is not among its policy's" if said else "it is in no scope of its policy's"
        for what, is_in in self.exclude.fits(name, image, labels).items():
            if is_in:
                return f"its policy excludes it by {what}"
        for what, is_in in self.include.fits(name, image, labels).items():
            if not is_in:
                return f"its policy does not include it by {what}"
        if self.monitor_only and not (self.labels_win and says(labels, "monitor-only") is False):
            return "its policy says monitor_only"
        return ""


ALL = Selection()

_ADAPTER: TypeAdapter[Selection] = TypeAdapter(Selection)
_LISTS = sorted(each.name for each in fields(Containers))
_FIELDS_AT = {
    ("select",): sorted(each.name for each in fields(Selection)),
    ("select", "include"): _LISTS,
    ("select", "exclude"): _LISTS,
}
