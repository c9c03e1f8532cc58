"""The registry clients behind the gateway: one per address, kept for the agent's life, with their connections and tokens."""

from collections.abc import Sequence
from pathlib import Path

from fleet.clock import Clock
from fleet.gateway.limits import Limits
from fleet.images.reference import Reference
from fleet.mirrors.source import Endpoint, Role, Source
from fleet.registry.address import Address, origin_address
from fleet.registry.client import RegistryClient
from fleet.registry.credentials import CredentialSource
from fleet.registry.proxies import Proxies
from fleet.registry.tls import DOCKER_CERTS


class Upstreams:
    """Gives the client of a source; belongs to one event loop. Credentials go by the source's own host alone."""

    def __init__(
        self,
        *,
        credentials: CredentialSource,
        limits: Limits,
        clock: Clock,
        proxies: Proxies | None = None,
        certs: Sequence[Path] = DOCKER_CERTS,
    ) -> None:
        self._credentials, self._limits, self._clock = credentials, limits, clock
        self._proxies, self._certs = proxies, certs
        self._clients: dict[Address, RegistryClient] = {}

    def client(self, source: Source, reference: Reference, insecure: Sequence[str]) -> RegistryClient:
        """Return the client that asks *source* for *reference*."""
        address = _address(source, reference, insecure)
        if address not in self._clients:
            self._clients[address] = RegistryClient(
                address,
                credentials=self._credentials,
                clock=self._clock,
                patience=self._limits.patience,
                proxies=self._proxies,
                certs=self._certs,
            )
        return self._clients[address]

    async def aclose(self) -> None:
        """Close every connection."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()


def _address(source: Source, reference: Reference, insecure: Sequence[str]) -> Address:
    if source.role is Role.ORIGIN:
        return origin_address(reference.registry, insecure=insecure)
    return mirror_address(source.endpoint, reference)


def mirror_address(endpoint: Endpoint, reference: Reference) -> Address:
    """Return where *endpoint* is asked for *reference*."""
    return Address(
        scheme=endpoint.scheme,
        host=endpoint.host,
        base_path=endpoint.base_path,
        repo_prefix=endpoint.repo_prefix,
        ns=reference.registry if endpoint.ns_query else "",
        insecure=endpoint.insecure,
        ca_file=endpoint.ca_file,
        client_cert=endpoint.client_cert,
        client_key=endpoint.client_key,
        http_fallback=endpoint.http_fallback,
        auth=endpoint.auth,
        proxy=endpoint.proxy,
    )
