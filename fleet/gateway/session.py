"""One pull through the gateway: what the engine may have, where it is fetched from, and how far it is."""

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fleet.errors import RegistryError
from fleet.gateway.fetch import Fetch, FetchFailed
from fleet.gateway.flights import Flight, Flights
from fleet.gateway.prefetch import Chain, Prefetch, layers_here
from fleet.gateway.referring import Referring
from fleet.gateway.sink import MemorySink, Segment
from fleet.gateway.wanted import Means, Wanted
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.mirrors.attempt import Attempt
from fleet.mirrors.route import Standing, route
from fleet.registry.faults import printable, redacted
from fleet.registry.image_config import CONFIG_CAP_BYTES
from fleet.registry.manifest import MANIFEST_CAP_BYTES, Descriptor, Manifest

log = logging.getLogger(__name__)

USER = "fleet"
MOST_LAYERS = 500
"""So many layers Linux can put on each other (overlayfs, OVL_MAX_STACK); each keeps a file open while a pull lasts."""
_LONGEST_NAME = 240
"""Docker takes 255 characters for a repository; some are left for its own needs."""


@dataclass(slots=True, kw_only=True)
class Held:
    """A manifest that was fetched and proved, and who gave it."""

    manifest: Manifest
    sink: MemorySink


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """One pull; belongs to the gateway's event loop, apart from ``failure``, ``progress`` and the names."""

    reference: Reference
    digest: Digest
    means: Means
    flights: Flights
    name: str = ""
    """The repository under which the engine asks: ``ghcr.io/org/app``, ``registry.lan--5000/app``."""
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    failure: str = ""
    """Why the pull cannot succeed any more; begins with "cannot"."""
    asked: int = 0
    """Requests of the engine."""
    _allowed: dict[Digest, Descriptor] = field(default_factory=dict)
    _manifests: dict[Digest, "asyncio.Task[Held]"] = field(default_factory=dict)
    _boarded: dict[Digest, Flight] = field(default_factory=dict)
    _asked_for: set[Digest] = field(default_factory=set)
    """The blobs that the engine asked for."""
    _here: frozenset[Digest] | None = None
    """The layers that the engine has already; None while nobody looked."""
    _ended: bool = False
    _main: Manifest | None = None
    """The manifest of the image that the engine will choose."""
    _referring: Referring = field(init=False)

    def __post_init__(self) -> None:
        """Find the name."""
        self.name = encoded(self.reference)
        self._referring = Referring(reference=self.reference, means=self.means)

    def proves(self, user: str, password: str) -> bool:
        """Tell whether a request shows this pull's secret."""
        return user == USER and hmac.compare_digest(password.encode(), self.secret.encode())

    def allows_manifest(self, digest: Digest) -> bool:
        """Tell whether *digest* is the pinned one or an entry of an index below it."""
        return digest == self.digest or digest in self._allowed

    def descriptor(self, digest: Digest) -> Descriptor | None:
        """Return what a manifest of this pull says about the blob *digest*, None where none names it."""
        return self._allowed.get(digest)

    async def manifest(self, digest: Digest) -> Held:
        """Return a manifest, fetched once; raise FetchFailed where no source gives it."""
        if digest not in self._manifests:
            self._manifests[digest] = asyncio.create_task(self._fetch_manifest(digest))
        return await asyncio.shield(self._manifests[digest])

    async def referring(self, kind: Literal["referrers", "manifests"], tail: str) -> Manifest | None:
        """Return the index of what refers to a manifest of this pull, None where the origin does not tell.

        What it lists may be asked for from then on, and is fetched and proved as all else.
        """
        found = await self._referring.index(kind, tail)
        for entry in found.entries if found else ():
            self._allowed.setdefault(entry.digest, entry)
        return found

    async def prepare(self, platform: Platform | None) -> None:
        """Fetch the pinned manifest and, of an index, the one that *platform* runs, before the engine asks for them.

        What is wrong with the sources then shows before the engine waits for anything. Raise FetchFailed.
        """
        held = await self.manifest(self.digest)
        if not held.manifest.is_index:
            self._main = held.manifest
        if not held.manifest.is_index or platform is None:
            return
        entry = held.manifest.choose(platform)
        if entry is None:
            self._fail(f"cannot pull {self.reference.familiar}: it has no image for {platform}")
            raise FetchFailed(self.failure)
        self._main = (await self.manifest(entry.digest)).manifest

    async def prefetch(self, images: Iterable[Chain]) -> None:
        """Fetch what an engine that has *images* will ask for, before it does; to be called when all is prepared.

        What fails here is no failure of the pull before the engine asks for it.
        """
        try:
            await self._prefetch(tuple(images))
        except Exception:
            # Nobody waits for what comes of this: a fault of our own would only make pulls slow, without a word.
            log.exception("layers cannot be fetched before the engine asks")
        finally:
            self._here = self._here or frozenset()

    async def _prefetch(self, images: Sequence[Chain]) -> None:
        image = self._main
        if image is None or image.config is None or image.config.size > CONFIG_CAP_BYTES:
            return
        flight = self._board(image.config)
        if not await flight.landed(None) or flight.file is None:
            return
        self._here = layers_here(image, flight.file.read(0, image.config.size), images)
        wanted = [b for b in image.blobs if b != image.config and b.digest not in self._here and not b.urls]
        try:
            await self.flights.check([blob for blob in wanted if blob.digest not in self._boarded])
        except OSError as error:
            self._fail(f"cannot pull {self.reference.familiar}: {error.strerror or error}")
            return
        await Prefetch(layers=wanted, fetch=self._come, limits=self.means.limits, clock=self.means.clock).run()

    async def _come(self, descriptor: Descriptor) -> bool:
        if self.failure or self._ended or not self.flights.bears(descriptor.size):
            return False
        return bool(await self._board(descriptor).landed(None))

    def blob(self, descriptor: Descriptor) -> Flight:
        """Return the flight of a blob that the engine asks for, begun where it was not; its failure becomes this pull's."""
        flight = self._board(descriptor)
        if descriptor.digest not in self._asked_for:
            self._asked_for.add(descriptor.digest)
            assert flight.task is not None
            flight.task.add_done_callback(lambda _: self._fail(flight.failure))
        return flight

    def _board(self, descriptor: Descriptor) -> Flight:
        flight = self._boarded.get(descriptor.digest)
        if flight is None:
            size = descriptor.size
            wanted = Wanted(reference=self.reference, kind="blobs", digest=descriptor.digest, size=size, cap=size)
            flight = self._boarded[descriptor.digest] = self.flights.board(self, wanted, self.means)
        return flight

    def passed(self, digest: Digest, start: int, end: int, segments: Iterable[Segment]) -> None:
        """Take note that the engine has the bytes of *digest* from *start* up to *end*, which came as *segments*."""
        self.means.ledger.passed(str(digest), start, end, segments)
        flight = self._boarded.get(digest)
        if flight is not None and flight.file is not None:
            flight.file.give(start, end)

    def progress(self) -> tuple[int, int | None, str]:
        """Return bytes so far, bytes in all once that is known, and the source that gave bytes last.

        What the engine has already counts for nothing, unless it asks for it all the same.
        """
        held, here = self._held(), self._here
        images = [manifest for manifest in held if not manifest.is_index]
        spared = (here or frozenset()) - self._boarded.keys()
        blobs = {b.digest: b.size for manifest in images for b in manifest.blobs if b.digest not in spared}
        read = sum(len(manifest.raw) for manifest in held)
        files = [flight.file for flight in list(self._boarded.values())]
        got = sum(file.here for file in files if file is not None)
        known = images and here is not None
        return read + got, read + sum(blobs.values()) if known else None, self.means.ledger.latest

    def config_digests(self) -> frozenset[str]:
        """Return the configurations of the images seen: classic image stores name an image by its own."""
        return frozenset(str(m.config.digest) for m in self._held() if m.config is not None)

    def elsewhere(self) -> str:
        """Return what the engine fetched past us, from where the image itself says; empty: nothing.

        containerd asks the ``urls`` of a layer before any registry.
        """
        spared = self._asked_for | (self._here or frozenset())
        layers = self._main.blobs if self._main is not None else ()
        past = [layer for layer in layers if layer.urls and layer.digest not in spared]
        hosts = sorted({redacted(url).partition("://")[2].partition("/")[0] for layer in past for url in layer.urls})
        size = sum(layer.size for layer in past)
        return (
            f"{size} bytes came from {printable(', '.join(hosts))}, as the image says, and not by mirrors"
            if past
            else ""
        )

    def attempts(self) -> tuple[Attempt, ...]:
        """Return what each source of the route did, in the route's order."""
        standing = Standing(own=self.means.own)
        return self.means.ledger.attempts(route(self.reference, self.means.table, standing).sources)

    def abort(self, reason: str, *, told: bool = True) -> None:
        """End this pull: the engine gets nothing more."""
        self._fail(reason)
        self.end(kept=True, told=told)

    def end(self, *, kept: bool = False, told: bool = True) -> None:
        """Give up what is on its way, and the disk space unless the bytes are to be *kept* for another pull.

        *told*: whether the history will hear of this pull's attempts; where not, the next pull tells of these bytes.
        """
        self._ended = True
        for flight in self._boarded.values() if not told else ():
            if flight.file is not None:
                flight.file.take_back()
        for task in self._manifests.values():
            task.cancel()
        self.flights.leave(self, kept=kept)

    def _held(self) -> list[Manifest]:
        done = [task for task in list(self._manifests.values()) if task.done() and not task.cancelled()]
        return [task.result().manifest for task in done if task.exception() is None]

    def _fail(self, reason: str) -> None:
        self.failure = self.failure or reason

    async def _fetch_manifest(self, digest: Digest) -> Held:
        entry = self._allowed.get(digest)
        sink = MemorySink(digest)
        wanted = Wanted(
            reference=self.reference,
            kind="manifests",
            digest=digest,
            size=entry.size if entry else None,
            cap=MANIFEST_CAP_BYTES,
            whole=True,
        )
        try:
            if entry is not None and entry.size > MANIFEST_CAP_BYTES:
                raise RegistryError(f"cannot take a manifest of more than {MANIFEST_CAP_BYTES} bytes")
            await Fetch(wanted=wanted, sink=sink, means=self.means).run()
            # The content type is the word of a mirror; the document's own is proved by the digest.
            manifest = Manifest.read(sink.content, digest=digest)
            if len({layer.digest for layer in manifest.layers}) > MOST_LAYERS:
                raise RegistryError(f"cannot take an image of more than {MOST_LAYERS} layers: no engine can unpack it")
        except (FetchFailed, RegistryError) as error:
            self._fail(str(error))
            raise FetchFailed(str(error)) from error
        for below in (*manifest.entries, *manifest.blobs):
            self._allowed.setdefault(below.digest, below)
        return Held(manifest=manifest, sink=sink)


def encoded(reference: Reference) -> str:
    """Return the repository's name under which the engine asks the gateway for *reference*.

    It is the same for every pull, because engines remember these names: ``registry.lan:5000/app`` becomes
    ``registry.lan--5000/app``. It need not be read back: a pull is known by its secret.
    """
    host = re.sub(r"[^a-z0-9.]+", "--", reference.registry.lower()).strip("-.")
    name = f"{host}/{reference.repository}"
    return name if len(name) <= _LONGEST_NAME else f"long/{hashlib.sha256(name.encode()).hexdigest()}"
