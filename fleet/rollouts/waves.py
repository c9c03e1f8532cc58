"""Which host of a plan comes in which wave: the same for the same seed, and each stratum has its share of each wave."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from fleet.rollouts.size import rounded_up
from fleet.rollouts.spec import RolloutSpec, WaveSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedHost:
    """What of a host decides its place."""

    host_id: UUID
    name: str = ""
    labels: dict[str, str] = field(default_factory=dict)


def in_order(hosts: Sequence[PlacedHost], seed: UUID, stratify_by: Sequence[str] = ()) -> tuple[PlacedHost, ...]:
    """Return the hosts in the order in which waves take them: shuffled by sha256(seed, host), strata interleaved.

    The order knows nothing of waves, so that a smaller first wave is a part of a larger one; and any beginning of it has of
    each stratum (hosts with the same values of these labels) its share, to within one host.
    """
    strata: dict[tuple[str | None, ...], list[tuple[bytes, PlacedHost]]] = defaultdict(list)
    for host in hosts:
        key = hashlib.sha256(seed.bytes + host.host_id.bytes).digest()
        strata[tuple(host.labels.get(label) for label in stratify_by)].append((key, host))
    placed: list[tuple[float, bytes, PlacedHost]] = []
    for stratum in strata.values():
        stratum.sort(key=lambda each: each[0])
        # Each host stands in the middle of its own share of the way.
        placed += [((2 * at + 1) / (2 * len(stratum)), key, host) for at, (key, host) in enumerate(stratum)]
    placed.sort(key=lambda each: each[:2])
    return tuple(host for _, _, host in placed)


def cut(spec: RolloutSpec, hosts: Sequence[PlacedHost], seed: UUID) -> tuple[tuple[UUID, ...], ...]:
    """Return the hosts of each wave, in order; every host is in exactly one, and a wave may be empty."""
    left = list(in_order(hosts, seed, spec.stratify_by))
    found = []
    for wave in spec.waves:
        taken = _taken(wave, left, len(hosts))
        ids = {host.host_id for host in taken}
        left = [host for host in left if host.host_id not in ids]
        found.append(tuple(host.host_id for host in taken))
    return tuple(found)


def _taken(wave: WaveSpec, left: Sequence[PlacedHost], planned: int) -> Sequence[PlacedHost]:
    able = left
    if wave.selector is not None:
        able = [host for host in left if wave.selector.takes_host(host.name, host.labels)]
    return able[: rounded_up(wave.size, planned, len(able))]
