"""What runs on this host, read from the engine into values that are small and hold no secret."""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol

from fleet.engine.protocol import Engine, Inspect
from fleet.engine.volumes import writable
from fleet.errors import BadInput
from fleet.images.digest import Digest
from fleet.images.platform import Platform, readable
from fleet.images.reference import Reference
from fleet.mirrors.source import MirrorRule
from fleet.updates.foresight import own_fields
from fleet.updates.images import KnownImages
from fleet.updates.snapshot import MOST_KEPT, TOLD_LABELS, ContainerState


class DigestTable(Protocol):
    """The agent's own memory of digests, which some image stores lose."""

    def get(self, image_id: str, repository: str) -> Digest | None:
        """Return the digest by which *image_id* was pulled from *repository* (``docker.io/library/nginx``)."""
        ...

    def put(self, image_id: str, repository: str, digest: Digest) -> None:
        """Remember it."""
        ...


def observe(engine: Engine, known: DigestTable, known_images: KnownImages | None = None) -> tuple[ContainerState, ...]:
    """Return every container of the engine, sorted by name; one that goes away meanwhile is left out.

    What the engine says of their images goes into *known_images*, because it may forget it.
    """
    found = (engine.inspect(container) for container in engine.container_ids(all=True))
    inspects = [inspect for inspect in found if inspect is not None]
    names = {str(inspect["Id"]): str(inspect["Name"]).lstrip("/") for inspect in inspects}
    images: dict[str, Inspect] = {}
    states = [
        replace(
            _state(engine, known, images, inspect),
            needs=needs_of(inspect, names),
            keeps=_keeps(inspect),
            **_told_by_image(inspect, images[str(inspect["Image"])], known_images),
        )
        for inspect in inspects
    ]
    if known_images is not None:
        _remember(known_images, images)
    return tuple(sorted(states, key=lambda state: (state.name, state.id)))


def snapshot_hash(containers: Sequence[ContainerState], mirrors: Sequence[MirrorRule] = ()) -> str:
    """Return a hash that is the same for the same snapshot, in whatever order it is given."""
    rows = sorted(_canonical(asdict(container)) for container in containers)
    rules = [_canonical(asdict(rule)) for rule in mirrors]
    return hashlib.sha256("\n".join([*rows, "", *rules]).encode()).hexdigest()


def needs_of(inspect: Inspect, names: Mapping[str, str]) -> tuple[str, ...]:
    """Return what the engine makes a container need of others, as ``KIND:NAME``; *names* are the containers' by id."""
    host = inspect["HostConfig"]
    modes = ((kind, str(host.get(f"{kind.capitalize()}Mode") or "")) for kind in ("network", "pid", "ipc"))
    found = [(kind, mode.removeprefix("container:")) for kind, mode in modes if mode.startswith("container:")]
    found += [("volumes", str(entry).partition(":")[0]) for entry in host.get("VolumesFrom") or ()]
    found += [("link", str(entry).partition(":")[0].lstrip("/")) for entry in host.get("Links") or ()]
    return tuple(dict.fromkeys(f"{kind}:{_name(other, names)}" for kind, other in found))


def _keeps(inspect: Inspect) -> tuple[str, ...]:
    """Return where a container keeps what outlives it; a socket, such as the engine's own, keeps nothing."""
    return tuple(sorted(path for path in writable(inspect) if not path.endswith(".sock")))[:MOST_KEPT]


def _name(other: str, names: Mapping[str, str]) -> str:
    """Return the name of a container that is called by its name, its id or the beginning of that."""
    if other in names.values():
        return other
    fitting = [name for id, name in names.items() if other and id.startswith(other)]
    return fitting[0] if len(fitting) == 1 else other


def _told_by_image(inspect: Inspect, image: Inspect, known_images: KnownImages | None) -> dict[str, Any]:
    """Return what is told of a container by its image, as the engine knows it or did: some image stores lose an image."""
    image = image or (known_images.get(str(inspect["Image"])) if known_images else {})
    return {"platform": _platform(image), "own": own_fields(inspect, image)}


def _remember(known_images: KnownImages, images: dict[str, Inspect]) -> None:
    """Keep what is told of these images, and forget all others; a full disk only costs the memory."""
    with contextlib.suppress(OSError):
        for image in filter(None, images.values()):
            known_images.put(image)
        known_images.keep_only(set(images))


def _state(engine: Engine, known: DigestTable, images: dict[str, Inspect], inspect: Inspect) -> ContainerState:
    image_id, named, state = str(inspect["Image"]), str(inspect["Config"]["Image"]), inspect["State"]
    if image_id not in images:
        images[image_id] = engine.image(image_id) or {}
    image = images[image_id]
    digests = _digests(image, known, image_id, named)
    labels = inspect["Config"].get("Labels") or {}
    return ContainerState(
        id=inspect["Id"],
        name=inspect["Name"].lstrip("/"),
        reference=named,
        image_id=image_id,
        digests=digests,
        state=str(state.get("Status") or ""),
        health=_health(state),
        labels={key: str(labels[key]) for key in sorted(labels) if key.startswith(TOLD_LABELS)},
        local_build=bool(image) and not digests and not image.get("RepoDigests"),
    )


def _digests(image: Inspect, known: DigestTable, image_id: str, named: str) -> tuple[str, ...]:
    """Return the digests under the repository of *named*, as the engine or the agent's own table knows them.

    What the engine knows is remembered: containerd's store forgets it as soon as the tag moves to a newer image, and the
    container of the older one would look as if it had been built on this host.
    """
    try:
        repository = Reference.parse(named).name
    except BadInput:
        return ()
    found = {digest for name, digest in _repo_digests(image) if name == repository}
    with contextlib.suppress(OSError):  # a full disk only costs the memory, and must not hide what runs
        for digest in found:
            known.put(image_id, repository, Digest.parse(digest))
    remembered = known.get(image_id, repository)
    return tuple(sorted(found | ({str(remembered)} if remembered else set())))


def _repo_digests(image: Inspect) -> Iterable[tuple[str, str]]:
    for text in image.get("RepoDigests") or ():
        try:
            reference = Reference.parse(text)
        except BadInput:
            continue
        if reference.digest is not None:
            yield reference.name, str(reference.digest)


def _platform(image: Inspect) -> str:
    if not image.get("Os") or not image.get("Architecture"):
        return ""
    return readable(str(Platform(image["Os"], image["Architecture"], image.get("Variant") or "").normalise()))


def _health(state: dict[str, Any]) -> str:
    status = str((state.get("Health") or {}).get("Status") or "")
    return "" if status == "none" else status


def _canonical(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
