"""Asks one registry: which digest a tag has, what a manifest says, and for bytes as a stream."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fleet.clock import Clock, SystemClock
from fleet.errors import AuthNeeded, BadInput, FleetError, RegistryError
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.registry.address import Address, Kind
from fleet.registry.answer import Answer
from fleet.registry.auth import Authenticator
from fleet.registry.connections import Connections, Patience
from fleet.registry.credentials import CredentialSource, NoCredentials
from fleet.registry.exchange import PING, Exchange, Method, Target
from fleet.registry.faults import RateLimitError
from fleet.registry.limits import RateLimit, rate_limit, retry_after_s
from fleet.registry.manifest import ACCEPT, MANIFEST_CAP_BYTES, Manifest
from fleet.registry.named import credentials_of, login_remedy
from fleet.registry.proxies import Proxies
from fleet.registry.tls import DOCKER_CERTS

_NO_HEAD = frozenset({400, 404, 405, 501})
"""What registries that cannot answer a HEAD answer to it; a GET tells whether the tag is really not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a registry says that a reference is."""

    digest: Digest
    media_type: str
    size: int
    """Bytes of the manifest or index, 0 where the registry does not say."""
    rate_limit: RateLimit | None = None


class RegistryClient:
    """One registry, asked for pulls only; belongs to one event loop, and its owner closes it."""

    def __init__(
        self,
        address: Address,
        *,
        credentials: CredentialSource | None = None,
        clock: Clock | None = None,
        user_agent: str = "fleet",
        patience: Patience | None = None,
        proxies: Proxies | None = None,
        certs: Sequence[Path] = DOCKER_CERTS,
        trusted_realms: Collection[str] = (),
    ) -> None:
        """Open nothing yet. Without *proxies* those of the environment are used."""
        self._clock = clock or SystemClock()
        patience = patience or Patience()
        self._connections = Connections(
            address,
            proxies=proxies or Proxies.from_environment(),
            patience=patience,
            certs=certs,
            user_agent=user_agent,
        )
        auth = Authenticator(
            address.host,
            credentials=credentials_of(address, credentials or NoCredentials()),
            connections=self._connections,
            clock=self._clock,
            trusted_realms=trusted_realms,
        )
        self._exchange = Exchange(address, connections=self._connections, auth=auth, first_byte_s=patience.first_byte_s)
        self._heads = True

    @property
    def address(self) -> Address:
        """Where this client asks; its scheme is settled by the first answer where plain http is allowed."""
        return self._exchange.address

    async def resolve(self, reference: Reference) -> Resolved:
        """Return the digest that *reference* has here: by HEAD, which costs no rate limit, else by GET and hashing.

        A digest in the reference goes before its tag. Raise RegistryError, AuthNeeded or RegistryUnreachable.
        """
        tail = reference.digest or reference.tag_or_latest
        if self._heads and (resolved := await self._by_head(reference.repository, str(tail))):
            return resolved
        manifest, limit = await self._manifest(reference.repository, tail)
        size = len(manifest.raw)
        return Resolved(digest=manifest.digest, media_type=manifest.media_type, size=size, rate_limit=limit)

    async def manifest(self, repository: str, tail: str | Digest) -> Manifest:
        """Return the manifest or index that *tail*, a tag or a digest, names; by digest, its bytes are proved."""
        manifest, _ = await self._manifest(repository, tail)
        return manifest

    async def blob(self, repository: str, digest: Digest, *, cap: int) -> bytes:
        """Return a small blob of at most *cap* bytes, proved by its digest; layers are read by :meth:`open`."""
        async with self.open("GET", "blobs", repository, str(digest)) as answer:
            if answer.status != 200:
                raise self._refusal(answer)
            content = await answer.read(cap)
        if not digest.proves(content):
            raise RegistryError(f"cannot trust the blob that {answer.url} served as {digest}: its bytes are others")
        return content

    async def ping(self) -> int:
        """Return the status of ``/v2/``: 200 for a registry that lets this client in, 401 for one that does not."""
        async with self._exchange.open("GET", PING, {}) as answer:
            return answer.status

    @asynccontextmanager
    async def open(
        self, method: Method, kind: Kind, repository: str, tail: str, *, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Answer]:
        """Ask for *tail* among the *kind* of *repository*, and yield the answer whatever its status.

        It proves who Fleet is where asked, follows redirects (without proofs once the server changes), and asks for
        bytes as they are stored. Raise ExchangeFailed where no answer comes in time, RegistryError where a redirect or
        a token goes wrong.
        """
        asked = {"Accept": ACCEPT if kind == "manifests" else "*/*", **(headers or {})}
        async with self._exchange.open(method, Target(repository, kind, tail), asked) as answer:
            yield answer

    async def aclose(self) -> None:
        """Close every connection."""
        await self._connections.aclose()

    async def _by_head(self, repository: str, tail: str) -> Resolved | None:
        """Return what a HEAD tells, None where it tells too little; a registry that takes none is not asked again."""
        async with self.open("HEAD", "manifests", repository, tail) as answer:
            self._heads = answer.status not in (405, 501)
            if answer.status in _NO_HEAD:
                return None
            if answer.status != 200:
                raise self._refusal(answer)
            digest = _named_digest(answer)
            if digest is None:
                return None
            media_type = answer.headers.get("content-type", "").partition(";")[0]
            size, limit = answer.length or 0, rate_limit(answer.headers)
            return Resolved(digest=digest, media_type=media_type, size=size, rate_limit=limit)

    async def _manifest(self, repository: str, tail: str | Digest) -> tuple[Manifest, RateLimit | None]:
        async with self.open("GET", "manifests", repository, str(tail)) as answer:
            if answer.status != 200:
                raise self._refusal(answer)
            raw = await answer.read(MANIFEST_CAP_BYTES)
            digest = tail if isinstance(tail, Digest) else None
            manifest = Manifest.read(raw, answer.headers.get("content-type", ""), digest=digest)
            return manifest, rate_limit(answer.headers)

    def _refusal(self, answer: Answer) -> FleetError:
        """Return the error that an answer other than 200 stands for."""
        if answer.status in (401, 403):
            remedy = login_remedy(self.address)
            return AuthNeeded(f"cannot read {answer.url}: {answer.status}; {remedy}")
        if answer.status == 429:
            wait_s = retry_after_s(answer.headers, self._clock.now())
            return RateLimitError(f"cannot read {answer.url}: the rate limit is used up", retry_after_s=wait_s)
        reason = "it is not there" if answer.status == 404 else f"status {answer.status}"
        return RegistryError(f"cannot read {answer.url}: {reason}", status=answer.status)


def _named_digest(answer: Answer) -> Digest | None:
    """Return the digest that the registry names, None where it names none that can be read."""
    try:
        return Digest.parse(answer.headers.get("docker-content-digest", ""))
    except BadInput:
        return None
