"""Below which topics Fleet writes, and what things are called there (pure): no name of a host's making steers a topic."""

import re
from dataclasses import dataclass
from hashlib import sha256

CENTRE = "centre"
"""Whose entities are of no host: mirrors, and what is pending. Hosts are called by their ids, in hex."""
_HASH_DIGITS = 12
_LONGEST_SLUG = 40
_ODD = re.compile(r"[^A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one installation of Fleet writes."""

    topic: str = "fleet"
    """Below this topic stand the states; nobody else may write there."""
    discovery: str = "homeassistant"
    """Below this one Home Assistant looks for what there is."""

    @property
    def status(self) -> str:
        """Where it stands whether Fleet tells anything at all; the broker itself writes it where Fleet falls silent."""
        return f"{self.topic}/status"

    @property
    def mark(self) -> str:
        """Where Fleet speaks to itself: what was asked for before has come once that comes back."""
        return f"{self.topic}/mark"

    @property
    def installs(self) -> str:
        """Where all requests to install come, as a filter."""
        return f"{self.topic}/+/+/install"

    def status_of(self, owner: str) -> str:
        """Return where it stands whether a host was heard of lately."""
        return f"{self.topic}/{owner}/status"

    def state(self, owner: str, thing: str) -> str:
        """Return where the state of a thing stands."""
        return f"{self.topic}/{owner}/{thing}/state"

    def install(self, owner: str, thing: str) -> str:
        """Return where the request to install an update comes."""
        return f"{self.topic}/{owner}/{thing}/install"

    def config(self, component: str, owner: str, thing: str) -> str:
        """Return where Home Assistant looks for the description of an entity."""
        return f"{self.discovery}/{component}/{self.unique(owner)}/{thing}/config"

    def filters(self, owner: str) -> tuple[str, ...]:
        """Return what finds all that may stand of an owner."""
        return f"{self.discovery}/+/{self.unique(owner)}/+/config", f"{self.topic}/{owner}/#"

    def owner_of(self, topic: str) -> str:
        """Return of whose *topic* is, which one of :meth:`filters` found."""
        parts = topic.split("/")
        described = topic.startswith(f"{self.discovery}/") and len(parts) > 3 and parts[-1] == "config"
        return parts[-3].removeprefix(f"{self.topic}_") if described else parts[1]

    def unique(self, owner: str, thing: str = "") -> str:
        """Return an id that no other installation with a topic of its own has."""
        return f"{self.topic}_{owner}_{thing}" if thing else f"{self.topic}_{owner}"

    def asked(self, topic: str) -> tuple[str, str] | None:
        """Return the owner and thing of which *topic* asks that they be updated; None: it asks for nothing."""
        parts = topic.split("/")
        return (parts[1], parts[2]) if len(parts) == 4 and (parts[0], parts[3]) == (self.topic, "install") else None


def thing(name: str) -> str:
    """Return what a container or mirror is called in topics and ids: readable, and another for each *name*."""
    slug = _ODD.sub("-", name).strip("-")[:_LONGEST_SLUG] or "-"
    return f"{slug}_{sha256(name.encode(errors='replace')).hexdigest()[:_HASH_DIGITS]}"
