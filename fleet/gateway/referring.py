"""What refers to an image: signatures and the like, which engines 29 and later ask for beside an image's attestations.

A mirror may give bytes, for their digest proves them. Which documents refer to an image is a word without proof, as a tag
is, and a mirror could leave one out or make one up: the origin alone is asked. Engines go on where nobody tells.
"""

import asyncio
from dataclasses import dataclass
from typing import Literal

from fleet.errors import FleetError
from fleet.gateway.verdict import SourceFailed, failed, of_answer, of_error
from fleet.gateway.wanted import Means
from fleet.images.reference import Reference
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.route import Standing, route
from fleet.mirrors.source import Role, Source
from fleet.registry.address import Kind
from fleet.registry.manifest import MANIFEST_CAP_BYTES, OCI_INDEX, Manifest

LONGEST_S = 5.0
"""The engine waits for this within its pull, and can do without."""
_CLASS: Kind = "manifests"
"""Whose breaker counts."""


@dataclass(slots=True, kw_only=True)
class Referring:
    """What refers to the image of one pull."""

    reference: Reference
    means: Means
    _silent: bool = False
    """Whether the origin let time pass once: it is not waited for again in this pull."""

    async def index(self, kind: Literal["referrers", "manifests"], tail: str) -> Manifest | None:
        """Return the index that the origin has at *tail*, None where it does not tell.

        *kind* is ``manifests`` where a registry knows no referrers, and keeps the index under a tag.
        """
        breakers, origin = self.means.breakers, self._origin()
        if origin is None or self._silent or origin.name in breakers.open(_CLASS):
            return None
        breakers.asking(origin.name, _CLASS)
        try:
            async with asyncio.timeout(LONGEST_S):
                found = await self._ask(origin, kind, tail)
        except SourceFailed as error:
            verdict = error.verdict
            breakers.failed(origin.name, _CLASS, verdict.result, retry_after_s=verdict.retry_after_s)
            return None
        except BaseException as error:
            breakers.released(origin.name, _CLASS)
            self._silent = isinstance(error, TimeoutError)
            if isinstance(error, TimeoutError | FleetError):
                return None
            raise
        breakers.succeeded(origin.name, _CLASS)
        return found

    def _origin(self) -> Source | None:
        sources = route(self.reference, self.means.table, Standing(own=self.means.own)).sources
        return next((source for source in sources if source.role is Role.ORIGIN), None)

    async def _ask(self, origin: Source, kind: Kind, tail: str) -> Manifest:
        means, repository = self.means, self.reference.repository
        client = means.upstreams.client(origin, self.reference, means.table.insecure)
        headers, began = {"Via": means.via, "Accept": OCI_INDEX}, means.clock.monotonic()
        try:
            async with client.open("GET", kind, repository, tail, headers=headers) as answer:
                if wrong := of_answer(answer, offset=0, ranged=False, now=means.clock.now()):
                    raise wrong
                raw = await answer.read(MANIFEST_CAP_BYTES)
                found = Manifest.read(raw, answer.headers.get("content-type", ""))
        except FleetError as error:
            patient = means.clock.monotonic() - began >= 0.9 * means.limits.patience.first_byte_s
            raise of_error(error, patient=patient) from error
        if not found.is_index:
            raise failed(AttemptResult.PROTOCOL, "it named no index of what refers to the image")
        return found
