"""What is wrong with how mirrors are configured and used over the fleet (pure)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fleet.controller.routes import host_rules
from fleet.history.inventory.hosts import HostRow
from fleet.history.mirrors.liars import Liar
from fleet.history.mirrors.probes import ProbeRow
from fleet.mirrors.probe import ProbeState

MUST_NOT_STAY = frozenset(
    {
        "daemon-hub-unchecked",
        "daemon-json-broken",
        "daemon-registries-key",
        "daemon-flag-and-file",
        "daemon-insecure-unusable",
        "daemon-mirror-unusable",
    }
)
"""What hosts tell of and is a failure by itself: a daemon that takes Docker Hub's bytes from anybody, or will not start."""
_CODES = ("daemon-", "fleet-file-", "mirror-", "hosts-toml-", "registries-conf-")
_NOT_BELIEVED = (ProbeState.TLS, ProbeState.STALE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a person should look at."""

    host: str
    code: str
    text: str
    failed: bool = False
    """Whether it must not stay so; else it is only told."""


def audit_mirrors(hosts: Sequence[HostRow], probes: Iterable[ProbeRow], liars: Iterable[Liar] = ()) -> list[Finding]:
    """Return what is wrong, host by host: what each told of its files and daemon, found at its mirrors, or does otherwise."""
    found = [finding for host in hosts for finding in _told(host)]
    found += [
        Finding(host=p.host, code=_code(p.state), text=f"{p.mirror}: {p.reason}", failed=p.state in _NOT_BELIEVED)
        for p in probes
        if p.state is not ProbeState.OK
    ]
    found += [
        Finding(
            host=liar.host,
            code="mirror-wrong-bytes",
            text=f"{liar.mirror}: it gave wrong bytes in {liar.pulls} pull{'s'[: liar.pulls != 1]} since yesterday",
            failed=True,
        )
        for liar in liars
    ]
    return [*found, *_different(hosts)]


def _code(state: ProbeState) -> str:
    """Return the code under which the doctor tells of it, too."""
    return "mirror-auth-failed" if state is ProbeState.UNAUTHORIZED else f"mirror-{state}"


def _told(host: HostRow) -> Iterable[Finding]:
    for problem in host.problems:
        code, _, text = problem.partition(": ")
        if code.startswith(_CODES):
            yield Finding(host=host.name, code=code, text=text, failed=code in MUST_NOT_STAY)


def _different(hosts: Sequence[HostRow]) -> Iterable[Finding]:
    """Tell of hosts whose own mirrors, or their order, differ from those of most others."""
    own = {host.name: tuple(f"{r.for_registry} {r.endpoint}" for r in host_rules(host)) for host in hosts}
    counted = Counter(own.values()).most_common(1)
    if not counted or counted[0][1] <= len(own) / 2:
        return
    usual, count = counted[0]
    for name, rules in own.items():
        if rules != usual:
            text = f"its own mirrors are {_listed(rules)}; {count} of {len(own)} hosts have {_listed(usual)}"
            yield Finding(host=name, code="mirror-order", text=text)


def _listed(rules: Sequence[str]) -> str:
    return ", ".join(rules) or "none"
