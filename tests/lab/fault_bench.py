"""What the fault matrix stands on: an origin that is Docker Hub, mirrors of every kind, and for each engine a lane of its own."""

import base64
import itertools
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from fleet.errors import FleetError
from fleet.testing.certificates import TestAuthority
from tests.lab import pulls_on_host
from tests.lab.engines import Generation
from tests.lab.fault_cases import Place
from tests.lab.lab import HUB, Host, Lab
from tests.lab.pulls_on_host import PASSWORD, USER
from tests.lab.registries import PLAIN_PORT, DeadRegistry, DockerRegistry, Registry, ScriptableRegistry, Tls

_NUMBERS = itertools.count(1)
_HUB_LOGIN = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Bench:
    """The origin and the mirrors that do the same to everybody; made by the thread that the lab lives in."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.origin: DockerRegistry = lab.origin("faults-origin")
        self.other = lab.scriptable("faults-other", upstream=HUB)
        self.dead: DeadRegistry = lab.dead("faults-dead")
        self.common: dict[Place, Registry] = {
            Place.FOREIGN_REALM: self.scriptable("faults-realm", realm=f"{self.other.url}/token"),
            Place.SELF_SIGNED: self.with_tls("faults-signed", TestAuthority("nobody known")),
            Place.EXPIRED: self.with_tls("faults-expired", lab.authority, expired=True),
            Place.DEAD: self.dead,
            Place.BLACK_HOLE: self._black_hole(),
        }

    def lane(self, generation: Generation, kind: str) -> "Lane":
        """Boot one more engine, with mirrors that do wrong to it alone."""
        name = f"faults-{kind}-{generation.replace('.', '-')}"
        token_machine = f"{name}-token"
        mirrors = {
            Place.PLAIN: self.scriptable(f"{name}-plain"),
            Place.SECURE: self.with_tls(f"{name}-secure", self.lab.authority),
            Place.TOKEN: self.scriptable(token_machine, realm="own"),
        }
        # What asks a registry in plain http by itself, for a layer or for the digest of an image alone, must trust it.
        trusted = {"insecure-registries": [mirrors[Place.PLAIN].host]}
        return Lane(self, self.lab.host(name, generation, options=trusted), mirrors)

    def scriptable(self, name: str, realm: str = "") -> ScriptableRegistry:
        """Start a mirror of Docker Hub in plain http."""
        machine = self.lab.machine(name)
        own = f"http://{machine.address}:{PLAIN_PORT}/token"
        return _started(ScriptableRegistry(machine, upstream=HUB, realm=own if realm == "own" else realm))

    def with_tls(self, name: str, authority: TestAuthority, *, expired: bool = False) -> ScriptableRegistry:
        """Start a mirror of Docker Hub whose certificate *authority* signed."""
        machine = self.lab.machine(name)
        certificate, key = authority.issue([machine.address], machine.folder, expired=expired)
        tls = Tls(certificate=certificate, key=key, authority=self.lab.ca)
        return _started(ScriptableRegistry(machine, tls, upstream=HUB))

    def _black_hole(self) -> ScriptableRegistry:
        registry = self.scriptable("faults-hole")
        registry.machine.run("iptables", "-A", "INPUT", "-p", "tcp", "--dport", str(registry.port), "-j", "DROP")
        return registry


class Lane:
    """One engine and the mirrors that do wrong to it; used by one thread, beside others."""

    def __init__(self, bench: Bench, host: Host, own: Mapping[Place, ScriptableRegistry]) -> None:
        self.bench, self.host, self._own = bench, host, own
        self.mirrors: dict[Place, Registry] = {**bench.common, **own, Place.ALONE: own[Place.PLAIN]}
        self._agent: subprocess.Popen[str] | None = None

    def number(self) -> int:
        """Return a number that no other image of the lab has."""
        return next(_NUMBERS)

    def pull(self, order: Mapping[str, Any]) -> list[Any]:
        """Let the host's one process pull, and return what came of each."""
        if self._agent is None:
            self._agent = self.host.machine.talk(sys.executable, pulls_on_host.__file__)
        agent = self._agent
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdin.write(json.dumps(order) + "\n")
        agent.stdin.flush()
        told = [agent.stdout.readline() for _ in order["pulls"]]
        if not all(told):
            raise FleetError("cannot go on: the process that pulls has ended, and says why above")
        return [json.loads(line) for line in told]

    def close(self) -> None:
        """End the process."""
        if self._agent is not None:
            self._agent.communicate()
            self._agent = None

    def misbehave(self, place: Place, rules: tuple[Mapping[str, object], ...]) -> None:
        """Put *rules* in force at the mirror of *place*."""
        mirror = self.mirrors.get(place)
        if isinstance(mirror, ScriptableRegistry) and rules:
            places = {"OTHER": self.bench.other.url, "NOBODY": self.bench.dead.url}
            mirror.misbehave(
                *({**r, **({"location": places[str(r["location"])]} if "location" in r else {})} for r in rules)
            )

    def behave(self) -> None:
        """Let every mirror of this lane do well."""
        for mirror in self._own.values():
            mirror.misbehave()

    def leaked(self) -> list[str]:
        """Return the mirrors that were ever shown this host's password of Docker Hub."""
        seen = [*self.mirrors.values(), self.bench.other]
        return sorted({m.machine.name for m in seen if isinstance(m, ScriptableRegistry) and m.was_told(_HUB_LOGIN)})

    def sent(self, registry: Registry, repository: str, tail: str = "") -> int:
        """Return the bytes of good answers that left *registry* for this host, by its own log; *tail* is one blob."""
        good = (r for r in registry.accesses() if r.client == self.host.address and r.method == "GET")
        rows = (r for r in good if r.place.repository == repository and r.status in (200, 206))
        return sum(r.sent for r in rows if r.place.kind in ("manifests", "blobs") and tail in ("", r.place.tail))


def _started(registry: ScriptableRegistry) -> ScriptableRegistry:
    registry.start()
    registry.ready()
    return registry
