"""Every mirror rule that holds for one host, merged, in order (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from fleet.images.reference import DOCKER_HUB
from fleet.mirrors.policy import GLOBAL, registry_key
from fleet.mirrors.source import Endpoint, MirrorRule


class Strategy(StrEnum):
    """In which order mirrors are asked."""

    ORDER = "order"
    """As they are written: those of the registry, then the global ones."""
    FASTEST = "fastest"
    """The fastest first, by what was measured; what was not measured follows, as it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorTable:
    """The rules in the order in which they are tried, each once; made without arguments, none."""

    rules: tuple[MirrorRule, ...] = ()
    insecure: tuple[str, ...] = ()
    """Registries (with port) and networks whose certificate goes unchecked, as the Docker daemon lists them."""
    global_mirrors_for: str = GLOBAL
    """Which registries global mirrors are asked for: ``*``, or ``docker.io`` as the Docker daemon does."""
    speeds: Mapping[str, int] | None = None
    """Bytes a second by mirror, where the fastest comes first; None: the order in which they are written is kept."""

    @classmethod
    def of(
        cls,
        policy: Sequence[MirrorRule] = (),
        host: Sequence[MirrorRule] = (),
        *,
        insecure: Iterable[str] = (),
        global_mirrors_for: str = GLOBAL,
        speeds: Mapping[str, int] | None = None,
    ) -> Self:
        """Merge the rules of the policy with those that the host itself has; the policy's come first."""
        rules: dict[tuple[str, Endpoint], MirrorRule] = {}
        for rule in (*policy, *host):
            rules.setdefault((rule.for_registry, _identity(rule.endpoint)), rule)
        return cls(
            rules=tuple(rules.values()),
            insecure=tuple(dict.fromkeys(insecure)),
            global_mirrors_for=str(global_mirrors_for),
            speeds=speeds,
        )

    def mirrors_of(self, registry: str) -> tuple[MirrorRule, ...]:
        """Return the mirrors of *registry* in order: its own, then the global ones; each endpoint once.

        Where speeds count, those that were measured come first of all, the fastest first.
        """
        key = registry_key(registry)
        own = [rule for rule in self.rules if rule.for_registry == key]
        shared = [rule for rule in self.rules if rule.for_registry == GLOBAL] if self._shares(key) else []
        found: dict[Endpoint, MirrorRule] = {}
        for rule in (*own, *shared):
            found.setdefault(_identity(rule.endpoint), rule)
        return tuple(sorted(found.values(), key=self._slowness))

    def _slowness(self, rule: MirrorRule) -> int:
        """Return by what mirrors are sorted, which leaves equal ones as they are; an unknown speed is the least."""
        return -(self.speeds or {}).get(str(rule.endpoint), 0)

    def _shares(self, key: str) -> bool:
        return self.global_mirrors_for == GLOBAL or key == DOCKER_HUB


def _identity(endpoint: Endpoint) -> Endpoint:
    """Return what makes two endpoints the same one: where requests go, not how far the certificate is trusted."""
    return Endpoint(
        scheme=endpoint.scheme,
        host=endpoint.host,
        base_path=endpoint.base_path,
        repo_prefix=endpoint.repo_prefix,
        ns_query=endpoint.ns_query,
    )
