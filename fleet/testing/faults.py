"""Everything a registry can do wrong, by name, and when it is to do so."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

from fleet.errors import BadInput


class Fault(StrEnum):
    """One way for a registry to misbehave. The names of the fields it reads in its rule stand in brackets."""

    CLOSE = "close"
    """The connection is closed without an answer."""
    HANG = "hang"
    """No answer comes, and the connection stays."""
    DELAY = "delay"
    """The answer comes late [seconds]."""
    STATUS = "status"
    """The answer is an error [status, retry_after]."""
    STALL = "stall"
    """The body stops and the connection stays [at]."""
    DRIP = "drip"
    """After some bytes the size of the next chunk comes, one digit a second, and never ends [at]."""
    PAUSE = "pause"
    """The body waits until the test says go [at]."""
    CUT = "cut"
    """The body ends early [at]."""
    ZERO_BYTES = "zero_bytes"
    """The header comes and not one byte of the body."""
    SLOW = "slow"
    """The body trickles [rate]."""
    WRONG_BYTES = "wrong_bytes"
    """The body has the right size and wrong bytes."""
    WRONG_PREFIX = "wrong_prefix"
    """The body begins with wrong bytes and is cut [at]."""
    OTHER_MANIFEST = "other_manifest"
    """The body is another manifest, well formed, under the right digest's header."""
    STALE_TAG = "stale_tag"
    """A tag names what it named before its last push."""
    NO_DIGEST = "no_digest"
    """The header that names the digest is missing."""
    LYING_DIGEST = "lying_digest"
    """The header names the digest of something else."""
    NO_HEAD = "no_head"
    """HEAD is answered with 405."""
    CHUNKED = "chunked"
    """The body's size is not announced."""
    NO_RANGE = "no_range"
    """A Range is ignored: 200 and all bytes."""
    ENCODED = "encoded"
    """The bytes as stored are labelled ``Content-Encoding: gzip``."""
    REDIRECT = "redirect"
    """The bytes are at the same path of another server [location]."""
    REDIRECT_LOOP = "redirect_loop"
    """The answer sends to itself."""
    REDIRECT_TO_HTTP = "redirect_to_http"
    """The answer sends to the same path without TLS."""
    TOKEN_EXPIRES = "token_expires"
    """The body is cut, and every token given so far is worth nothing [at]."""
    ENDLESS = "endless"
    """The body goes on after its end, by more than anybody should take (``misconduct.ENDLESS_BYTES``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """One fault, what it befalls, and how often."""

    fault: Fault
    kind: str = "*"
    """``ping``, ``manifests``, ``blobs``, ``referrers``, ``tags``, ``token``, or a pattern."""
    repository: str = "*"
    """A pattern of shell wildcards, as all patterns here."""
    tail: str = "*"
    """A tag, a digest, or a pattern."""
    method: str = "*"
    times: int | None = None
    """How often it strikes; None for always."""
    after: int = 0
    """How many requests that it befalls go well first."""
    at: int = 0
    """Bytes of the body (of this answer) before it strikes."""
    rate: int = 1024
    """Bytes per second."""
    status: int = 500
    retry_after: str = ""
    """The value of a Retry-After header, or empty."""
    location: str = ""
    """Scheme, host and port of another server."""
    seconds: float = 1.0

    def befalls(self, method: str, kind: str, repository: str, tail: str) -> bool:
        """Tell whether a request is one of those that this rule is about."""
        pairs = ((method, self.method), (kind, self.kind), (repository, self.repository), (tail, self.tail))
        return all(fnmatchcase(value, pattern) for value, pattern in pairs)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Read one rule of a script; raise BadInput for an unknown fault or field."""
        known = {item.name for item in fields(cls)}
        if unknown := set(document) - known:
            raise BadInput(
                f"cannot use the fault rule's {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}"
            )
        try:
            return cls(**{**document, "fault": Fault(document["fault"])})
        except (KeyError, ValueError) as error:
            raise BadInput(f"cannot use a fault rule without one of: {', '.join(Fault)}") from error


class FaultScript:
    """The rules in force, counted as they strike. A script file is read again when it changes."""

    def __init__(self, path: Path | None = None) -> None:
        """Begin with the rules of *path*: ``{"rules": [{"fault": "wrong_bytes", "kind": "blobs"}]}``."""
        self._path = path
        self._stamp = 0
        self._rules: list[FaultRule] = []
        self._met: dict[int, int] = {}
        self._refresh()

    def add(self, fault: Fault, **fields: Any) -> FaultRule:
        """Put one more rule in force; its fields are those of FaultRule."""
        rule = FaultRule(fault=fault, **fields)
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Put all rules out of force."""
        self._rules, self._met = [], {}

    def strike(self, method: str, kind: str, repository: str, tail: str) -> dict[Fault, FaultRule]:
        """Return the faults that befall this request, and count them."""
        self._refresh()
        return {r.fault: r for r in self._rules if r.befalls(method, kind, repository, tail) and self._due(r)}

    def _due(self, rule: FaultRule) -> bool:
        met = self._met[id(rule)] = self._met.get(id(rule), 0) + 1
        return met > rule.after and (rule.times is None or met <= rule.after + rule.times)

    def _refresh(self) -> None:
        if self._path is None or not self._path.exists() or self._stamp == (stamp := self._path.stat().st_mtime_ns):
            return
        try:
            document = json.loads(self._path.read_bytes())
        except ValueError:
            # The lab is writing it just now; what is broken from the start is an error.
            if self._stamp == 0:
                raise
            return
        self.clear()
        self._rules, self._stamp = [FaultRule.read(rule) for rule in document.get("rules", [])], stamp
