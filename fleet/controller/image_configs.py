"""What images say of how they are run, asked of mirrors and registries by digest, and kept: a digest says the same for ever."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from fleet.clock import SystemClock
from fleet.controller.resolving import Asking
from fleet.errors import AuthNeeded, BadInput, RegistryError, RegistryUnreachable
from fleet.gateway.limits import Limits
from fleet.gateway.upstreams import Upstreams
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.mirrors.source import Role, Source
from fleet.registry.image_config import image_config

WITHIN_S = 10.0
"""How long all that is asked for one plan may take together; what came is kept, and the next plan asks for the rest."""
MOST_KEPT = 2_000
"""How many images are kept, a few KB each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOf:
    """One image of one platform, by which its config is known."""

    name: str
    """registry/repository, canonical."""
    digest: str
    platform: str

    def __str__(self) -> str:
        """Return it as people name it."""
        return f"{Reference.parse(self.name).familiar_name}@{self.digest[:19]}"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why the config of an image is not known."""

    reason: str


Config = Mapping[str, Any]


class ImageConfigs:
    """The configs that were read lately; safe to use from several threads."""

    def __init__(self, *, within_s: float = WITHIN_S) -> None:
        """Know none yet."""
        self._within_s = within_s
        self._lock = Lock()
        self._known: OrderedDict[ImageOf, Config] = OrderedDict()

    def look(
        self, wanted: Mapping[ImageOf, tuple[Source, ...]], asking: Asking | None, *, spent: Collection[str] = ()
    ) -> dict[ImageOf, Config | Unreadable]:
        """Return the config of each image of *wanted*, asked of its sources in their order where it is not known yet.

        Without *asking* nobody is asked. *spent* are the hosts (with port) of origins whose rate limit is nearly used
        up: they are left to the pulls. Never raises for what a registry can do.
        """
        with self._lock:
            found: dict[ImageOf, Config | Unreadable] = {
                image: self._known[image] for image in wanted if image in self._known
            }
        missing = {image: sources for image, sources in wanted.items() if image not in found}
        if missing and asking is not None:
            asked = asyncio.run(_ask_all(missing, asking, frozenset(spent), self._within_s))
            self._keep({image: config for image, config in asked.items() if not isinstance(config, Unreadable)})
            return found | asked
        return found | {image: Unreadable("the registries were not asked") for image in missing}

    def _keep(self, configs: Mapping[ImageOf, Config]) -> None:
        with self._lock:
            self._known.update(configs)
            while len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)


async def _ask_all(
    wanted: Mapping[ImageOf, tuple[Source, ...]], asking: Asking, spent: frozenset[str], within_s: float
) -> dict[ImageOf, Config | Unreadable]:
    clock = asking.clock or SystemClock()
    upstreams = Upstreams(credentials=asking.credentials, limits=Limits(), clock=clock)
    few = asyncio.Semaphore(asking.parallel)

    async def one(image: ImageOf, sources: Iterable[Source]) -> Config | Unreadable:
        async with few:
            return await _ask(upstreams, image, sources, asking, spent)

    try:
        tasks = {image: asyncio.create_task(one(image, sources)) for image, sources in wanted.items()}
        await asyncio.wait(tasks.values(), timeout=within_s)
        late = Unreadable(f"no answer within {within_s:.0f} s; plan again to ask for the rest")
        found = {image: task.result() if task.done() else late for image, task in tasks.items()}
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        return found
    finally:
        await upstreams.aclose()


async def _ask(
    upstreams: Upstreams, image: ImageOf, sources: Iterable[Source], asking: Asking, spent: frozenset[str]
) -> Config | Unreadable:
    """Return what the first source says that answers, else why the last one does not."""
    why = "there is no source to ask"
    try:
        reference, platform = Reference.parse(image.name), Platform.parse(image.platform)
        digest = Digest.parse(image.digest)
    except BadInput as error:
        return Unreadable(str(error))
    for source in sources:
        if source.role is Role.ORIGIN and source.endpoint.host in spent:
            why = f"the rate limit of {source.name} is (nearly) used up"
            continue
        client = upstreams.client(source, reference, tuple(asking.insecure))
        try:
            return await image_config(client, reference.repository, digest, platform)
        except (AuthNeeded, RegistryUnreachable, RegistryError, BadInput) as error:
            why = str(error)
    return Unreadable(why)
