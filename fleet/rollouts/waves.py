"""Which host of a plan comes in which wave: the same for the same seed, and each stratum has its share of each wave."""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from fleet.rollouts.size import rounded_up
from fleet.rollouts.spec import RolloutSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedHost:
    """What of a host decides its place."""

    host_id: UUID
    name: str = ""
    labels: dict[str, str] = field(default_factory=dict)


def in_order(hosts: Sequence[PlacedHost], seed: UUID, stratify_by: Sequence[str] = ()) -> tuple[PlacedHost, ...]:
    """Return the hosts in the order of :func:`order`, where hosts with the same values of these labels are a stratum."""
    strata = [_stratum(host.labels, stratify_by) for host in hosts] if stratify_by else None
    return tuple(hosts[at] for at in order([host.host_id.bytes for host in hosts], seed, strata))


def order(ids: Sequence[bytes], seed: UUID, strata: Sequence[Hashable] | None = None) -> list[int]:
    """Return the places of hosts in the order in which waves take them: shuffled by sha256(seed, host), strata interleaved.

    The order knows nothing of waves, so that a smaller first wave is a part of a larger one; and any beginning of it has of
    each stratum its share, to within one host. Without *strata* all are of one.
    """
    shuffled = hashlib.sha256
    begin = seed.bytes
    keys = [shuffled(begin + id).digest() for id in ids]
    if strata is None:
        return sorted(range(len(ids)), key=keys.__getitem__)
    by_stratum: dict[Hashable, list[int]] = defaultdict(list)
    for at, stratum in enumerate(strata):
        by_stratum[stratum].append(at)
    placed: list[tuple[float, bytes, int]] = []
    for members in by_stratum.values():
        members.sort(key=keys.__getitem__)
        # Each host stands in the middle of its own share of the way.
        placed += [((2 * n + 1) / (2 * len(members)), keys[at], at) for n, at in enumerate(members)]
    placed.sort()
    return [at for _, _, at in placed]


def cut(spec: RolloutSpec, hosts: Sequence[PlacedHost], seed: UUID) -> tuple[tuple[UUID, ...], ...]:
    """Return the hosts of each wave, in order; every host is in exactly one, and a wave may be empty."""
    ids, names, labels = [h.host_id.bytes for h in hosts], [h.name for h in hosts], [h.labels for h in hosts]
    return tuple(tuple(hosts[at].host_id for at in wave) for wave in cut_columns(spec, ids, names, labels, seed))


def cut_columns(
    spec: RolloutSpec, ids: Sequence[bytes], names: Sequence[str], labels: Sequence[Mapping[str, str]], seed: UUID
) -> list[list[int]]:
    """Return the places of the hosts of each wave, in order, where hosts are told by columns: the ids' bytes, names, labels."""
    strata = [_stratum(mine, spec.stratify_by) for mine in labels] if spec.stratify_by else None
    left = order(ids, seed, strata)
    found = []
    for wave in spec.waves:
        selector = wave.selector
        able = left if selector is None else [at for at in left if selector.takes_host(names[at], labels[at])]
        taken = able[: rounded_up(wave.size, len(ids), len(able))]
        gone = set(taken)
        left = left[len(taken) :] if selector is None else [at for at in left if at not in gone]
        found.append(taken)
    return found


def _stratum(labels: Mapping[str, str], stratify_by: Sequence[str]) -> tuple[str | None, ...]:
    return tuple(labels.get(label) for label in stratify_by)
