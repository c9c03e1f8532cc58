"""Hosts: what is known of each, and how one is added."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from fleet.api.form import Answer, Name, Part, Request
from fleet.api.mirrors import MirrorEntry
from fleet.rollouts.states import Hold, HostState, RolloutState

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Host(Part):
    """One machine of the fleet."""

    id: UUID
    name: str
    labels: dict[str, str] = Field(default_factory=dict)
    state: str
    """``new`` (never heard of), ``online`` or ``silent``."""
    agent_version: str = ""
    engine_name: str = ""
    engine_version: str = ""
    api_version: str = ""
    os: str = ""
    architecture: str = ""
    containerd_store: bool = False
    problems: tuple[str, ...] = ()
    """What is wrong on it, each ``code: text``."""
    refused: str = ""
    """Why nothing is sent to it, and what to do about it; empty: nothing stands in the way."""
    outcomes_waiting: int = 0
    skew_ms: int | None = None
    """Its clock minus the centre's."""
    created_at: datetime
    joined_at: datetime | None = None
    last_seen_at: datetime | None = None


class HostTurn(Part):
    """Where a host stands in one rollout."""

    number: int
    """The rollout's, for people: ``#42``."""
    rollout_state: RolloutState
    holds: tuple[Hold, ...] = ()
    """What keeps the rollout from going on."""
    asked_by: str
    created_at: datetime
    """When the rollout was made."""
    wave: int
    """From 0."""
    state: HostState
    tries: int = 0
    reason: str = ""
    """Why it failed, waits again, was skipped or withdrawn."""
    changed_at: datetime
    """When it came to stand there."""

    @property
    def rollout_words(self) -> str:
        """How the rollout stands, as people read it, with what holds it."""
        return ", ".join((self.rollout_state.words, *(f"held: {hold.value.replace('_', ' ')}" for hold in self.holds)))


class HostAnswer(Answer):
    """One host."""

    host: Host
    mirrors: tuple[MirrorEntry, ...] = ()
    """The mirror rules of its own files and daemon."""
    tier: str = ""
    """By which way its engine got its last image: ``native``, ``loopback`` or ``daemon-chosen``; empty: not known yet."""
    tier_at: datetime | None = None
    """When that was."""
    turns: tuple[HostTurn, ...] = ()
    """Where it stands in the newest rollouts that have it, newest first."""


class Hosts(Answer):
    """The hosts that were asked for: all of them, or one page."""

    hosts: tuple[Host, ...]
    next_page: str | None = None
    """What to ask for the page after; null: this is the last, or all."""


class RejoinHost(Request):
    """Give a known host another key and password; the old ones are void at once.

    They were made elsewhere: only their public sides come.
    """

    public_key: str = Field(max_length=1000)
    """The JWK of its Ed25519 key's public half, in JSON."""
    password_sha256: Sha256
    """SHA-256 in hex of its password at the broker."""


class AddHost(RejoinHost):
    """Take a new host into the fleet. Its key and password were made elsewhere: only their public sides come."""

    name: Name
    labels: dict[str, str] = Field(default_factory=dict, max_length=100)


class HostAdded(Answer):
    """What the host needs to find the centre; with its own key and password it makes the join file."""

    host: Host
    broker_url: str
    """Without login."""
    broker_ca: str = ""
    """The PEM certificates that vouch for the broker; empty where it speaks no TLS."""
    broker_plaintext: bool = False
    """Whether the network to the broker was said to be trusted."""
    centre_keys: tuple[str, ...]
    """The JWKs that may sign orders."""


class ChangeHost(Request):
    """Change what is given, and leave the rest."""

    name: Name | None = None
    labels: dict[str, str] | None = Field(default=None, max_length=100)
    """All labels that it shall have."""
    set_labels: dict[str, str] = Field(default_factory=dict, max_length=100)
    """Labels that it shall have beside those that it has."""
    drop_labels: tuple[Annotated[str, StringConstraints(min_length=1, max_length=63)], ...] = Field(
        default=(), max_length=100
    )
    """Labels that it shall not have any more, by their names; one that it has not is none."""
