"""One fault, one engine: what a pull of the engine's own does about it, and what a pull through the gateway does."""

import itertools
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.images.digest import Digest
from fleet.testing.certificates import TestAuthority
from tests.lab import pulls_on_host
from tests.lab.fault_cases import NO_FAULT, Case, Place
from tests.lab.images import Recipe
from tests.lab.lab import HUB, Host, Lab
from tests.lab.machines import eventually
from tests.lab.registries import PLAIN_PORT, DockerRegistry, Registry, ScriptableRegistry, Tls, mirror_options

LAYERS_MIB = (1.0, 0.25)
DIRECT_LIMIT_S = 45.0
"""So long an engine may try by itself before it counts as hanging."""
_SCRIPT = Path(pulls_on_host.__file__)
_NUMBERS = itertools.count(1)
_GATEWAY = "http://127.0.0.1:5999"


@dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """What the engine's own pull came to."""

    seconds: float
    verdict: str
    """``right``, ``wrong image``, ``failed``, ``hangs``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Through:
    """What one pull through the gateway came to."""

    seconds: float
    ok: bool
    right: bool
    """Whether the engine has the right digest under the name."""
    reason: str
    mirror: str
    """What the mirror's attempt says; empty where it was left out of the route."""
    mirror_bytes: int
    mirror_sent: int
    """By the mirror's own log."""
    origin_bytes: int
    origin_sent: int


class Bench:
    """Mirrors of every kind, an origin that is Docker Hub, and hosts; used by one thread."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.origin = lab.origin("faults-origin")
        self.other = lab.scriptable("faults-other", upstream=HUB)
        self.mirrors = {
            Place.PLAIN: lab.scriptable("faults-plain", upstream=HUB),
            Place.TOKEN: self._scriptable("faults-token", realm="own"),
            Place.FOREIGN_REALM: self._scriptable("faults-realm", realm=f"{self.other.url}/token"),
            Place.SELF_SIGNED: self._with_tls("faults-signed", expired=False),
            Place.EXPIRED: self._with_tls("faults-expired", expired=True),
            Place.DEAD: lab.dead("faults-dead"),
            Place.BLACK_HOLE: self._black_hole(),
        }

    def _scriptable(self, name: str, realm: str = "") -> ScriptableRegistry:
        machine = self.lab.machine(name)
        own = f"http://{machine.address}:{PLAIN_PORT}/token"
        registry = ScriptableRegistry(machine, upstream=HUB, realm=own if realm == "own" else realm)
        registry.start()
        registry.ready()
        return registry

    def _with_tls(self, name: str, *, expired: bool) -> ScriptableRegistry:
        machine = self.lab.machine(name)
        authority = self.lab.authority if expired else TestAuthority("nobody known")
        certificate, key = authority.issue([machine.address], machine.folder, expired=expired)
        registry = ScriptableRegistry(
            machine, Tls(certificate=certificate, key=key, authority=self.lab.ca), upstream=HUB
        )
        registry.start()
        registry.ready()
        return registry

    def _black_hole(self) -> ScriptableRegistry:
        registry = self._scriptable("faults-hole")
        registry.machine.run("iptables", "-A", "INPUT", "-p", "tcp", "--dport", str(registry.port), "-j", "DROP")
        return registry

    def direct(self, host: Host, case: Case) -> Direct | None:
        """Let the engine pull by itself, with the mirror in its daemon.json; None where the case has no mirror for it."""
        if case.place is Place.OURSELVES:
            return None
        mirror = self.mirrors[case.place]
        host.configure(mirror_options([mirror]))
        host.reload()
        eventually("the mirror in use", lambda: mirror.host in json.dumps(host.facts()["RegistryConfig"]["Mirrors"]))
        name, digest = self._push(host, case)
        self._misbehave(case)
        began = time.monotonic()
        try:
            pulled = host.machine.run(
                "timeout",
                str(DIRECT_LIMIT_S),
                "docker",
                "pull",
                "--quiet",
                name,
                check=False,
                timeout_s=2 * DIRECT_LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            return Direct(seconds=time.monotonic() - began, verdict="hangs")
        finally:
            self._behave()
        seconds = time.monotonic() - began
        if pulled.returncode == 0:
            found = host.docker("image", "inspect", "--format", "{{json .RepoDigests}}", name)
            return Direct(seconds=seconds, verdict="right" if str(digest) in found else "wrong image")
        return Direct(seconds=seconds, verdict="hangs" if seconds >= DIRECT_LIMIT_S else "failed")

    def through(self, host: Host, case: Case, pulls: int = 2) -> list[Through]:
        """Pull through the gateway, two images one after the other: the second meets what the first one taught."""
        host.configure({})
        host.reload()
        made = [self._push(host, case) for _ in range(pulls)]
        self._misbehave(case)
        url = _GATEWAY if case.place is Place.OURSELVES else self.mirrors[case.place].url
        order = {
            "state": str(host.machine.folder / f"faults-{next(_NUMBERS)}"),
            "mirrors": [{"for": "docker.io", "url": url, "insecure": url.startswith("http:")}],
            "pulls": [(name, str(digest)) for name, digest in made],
        }
        try:
            done = host.machine.run(sys.executable, _SCRIPT, json.dumps(order), timeout_s=240)
        finally:
            self._behave()
        told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        return [self._read(host, case, each, name, digest) for each, (name, digest) in zip(told, made, strict=True)]

    def baseline_s(self, host: Host) -> float:
        """Return what a pull through the gateway takes where the mirror does well; the second of two."""
        return self.through(host, NO_FAULT, pulls=3)[-1].seconds

    def _push(self, host: Host, case: Case) -> tuple[str, Digest]:
        """Push a new image to the origin; return its name and digest."""
        name = f"fault-{next(_NUMBERS)}"
        version = f"{host.generation} {case.name} {name}"
        if any(rule["fault"] == "stale_tag" for rule in case.rules):
            self.origin.push(f"library/{name}", "1", Recipe(version=f"old {version}", layers_mib=LAYERS_MIB))
        digest = self.origin.push(f"library/{name}", "1", Recipe(version=version, layers_mib=LAYERS_MIB))
        return f"{name}:1", digest

    def _misbehave(self, case: Case) -> None:
        mirror = self.mirrors.get(case.place)
        if isinstance(mirror, ScriptableRegistry) and case.rules:
            places = {"OTHER": self.other.url, "NOBODY": self.mirrors[Place.DEAD].url}
            rules = [{**r, **({"location": places[r["location"]]} if "location" in r else {})} for r in case.rules]
            mirror.misbehave(*rules)

    def _behave(self) -> None:
        for mirror in self.mirrors.values():
            if isinstance(mirror, ScriptableRegistry):
                mirror.misbehave()

    def _read(self, host: Host, case: Case, told: Any, name: str, digest: Digest) -> Through:
        outcome, repository = told["outcome"], f"library/{name.partition(':')[0]}"
        mirror = self.mirrors.get(case.place)
        roles = {attempt["role"]: attempt for attempt in outcome["attempts"]}
        at_mirror, at_origin = roles.get("mirror"), roles.get("origin")
        sent = 0 if mirror is None else _sent(mirror, host, repository)
        if any(rule.get("location") == "OTHER" for rule in case.rules):
            sent += _sent(self.other, host, repository)
        return Through(
            seconds=outcome["duration_ms"] / 1000,
            ok=outcome["ok"],
            right=any(str(digest) in text for text in told["digests"]),
            reason=outcome["reason"],
            mirror=at_mirror["result"] if at_mirror else "",
            mirror_bytes=at_mirror["bytes"] if at_mirror else 0,
            mirror_sent=sent,
            origin_bytes=at_origin["bytes"] if at_origin else 0,
            origin_sent=_sent(self.origin, host, repository),
        )


def _sent(registry: Registry | DockerRegistry, host: Host, repository: str) -> int:
    """Return the bytes of good answers that left *registry* for *host*, by its own log."""
    good = (row for row in registry.accesses() if row.client == host.address and row.method == "GET")
    rows = (row for row in good if row.place.repository == repository and row.status in (200, 206))
    return sum(row.sent for row in rows if row.place.kind in ("manifests", "blobs"))
