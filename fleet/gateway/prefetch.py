"""Which layers of an image the engine will ask for, and the fetching of them before it does.

An engine takes three layers at a time, and none while it is busy; and a layer that it has already it never asks for.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from fleet.clock import Clock
from fleet.gateway.limits import Limits
from fleet.images.digest import Digest
from fleet.registry.manifest import Descriptor, Manifest

Chain = tuple[str, ...]
"""What the layers of one image unpack to, the lowest first: an engine's ``RootFS.Layers``, a configuration's ``diff_ids``."""


def layers_here(manifest: Manifest, config: bytes, images: Iterable[Chain]) -> frozenset[Digest]:
    """Return the layers of *manifest* that an engine with *images* has; none where *config* does not tell.

    Engines know a layer by itself and all below it, so that what counts is how long the image begins like another one.
    """
    chain = _chain(config)
    if len(chain) != len(manifest.layers):
        return frozenset()
    shared = max((_alike(chain, image) for image in images), default=0)
    missing = {layer.digest for layer in manifest.layers[shared:]}
    return frozenset(layer.digest for layer in manifest.layers[:shared]) - missing


@dataclass(slots=True, kw_only=True)
class Prefetch:
    """The layers of one image being fetched, in their order, ahead of the engine's asking."""

    layers: Sequence[Descriptor]
    fetch: Callable[[Descriptor], Awaitable[bool]]
    """Fetches a layer, and tells whether it came."""
    limits: Limits
    clock: Clock
    _next: int = 0
    _workers: list["asyncio.Task[None]"] = field(default_factory=list)

    async def run(self) -> None:
        """Fetch all of them; end where one cannot be had, for the engine will hear of that when it asks."""
        for _ in range(min(self.limits.engines_layers, len(self.layers))):
            self._hire()
        try:
            while working := [task for task in self._workers if not task.done()]:
                await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in self._workers:
                task.cancel()

    def _hire(self) -> None:
        self._workers.append(asyncio.create_task(self._work()))

    async def _work(self) -> None:
        while self._next < len(self.layers):
            layer = self.layers[self._next]
            self._next += 1
            began = self.clock.monotonic()
            if not await self.fetch(layer):
                self._next = len(self.layers)
                return
            # A line that is fast with so many bears one more; a thin one would only be cut into thinner ones.
            fast = layer.size >= self.limits.fast_bytes_s * (self.clock.monotonic() - began)
            if fast and len(self._workers) < self.limits.prefetched and self._next < len(self.layers):
                self._hire()


def _alike(one: Chain, other: Chain) -> int:
    """Return with how many members *one* and *other* begin alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def _chain(config: bytes) -> Chain:
    """Return the ``diff_ids`` of an image's configuration, none where it has no such thing."""
    try:
        found = json.loads(config)["rootfs"]["diff_ids"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return ()
    return tuple(map(str, found)) if isinstance(found, list) else ()
