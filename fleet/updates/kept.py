"""Kept images: the last that each container ran before its present one, under a name of their own, for the way back.

An image without a name is lost sooner or later: to ``docker image prune``, or, in containerd's store, at once. So what is to
be kept is named before its tag goes to the newer image, and what is older than the policy keeps is removed.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from fleet.engine.protocol import Engine, Inspect
from fleet.errors import BadInput, EngineError
from fleet.images.reference import Reference
from fleet.updates.command import Policy
from fleet.updates.files import write_atomically

KEPT_TAG = "fleet-kept-"
"""What begins the tag of a kept image; the first digits of its id end it."""
_DIGITS = 12


class Generations:
    """Which images each container ran before, in a file of its own; the latest comes last."""

    def __init__(self, file: Path) -> None:
        """Keep them in *file*, which is made with the first of them."""
        self._file = file

    def of(self, container: str) -> tuple[str, ...]:
        """Return the ids of the images that *container* ran before its present one."""
        return tuple(self._read().get(container, ()))

    def all(self) -> frozenset[str]:
        """Return the ids of all images that are kept for any container."""
        return frozenset(image for images in self._read().values() for image in images)

    def add(self, container: str, old: str, *, now: str, most: int) -> tuple[str, ...]:
        """Remember that *container* ran *old* before *now*, and no more than *most*; return what is not kept any longer.

        May be taken twice. What runs now is none of those before, though it was one: the way back was taken.
        """
        rows = self._read()
        known = [image for image in rows.get(container, ()) if image not in (old, now)]
        images = [*known, old] if old != now else known
        rows[container] = images[-most:] if most else []
        write_atomically(self._file, json.dumps({name: ids for name, ids in rows.items() if ids}).encode())
        return tuple(image for image in images if image not in rows[container])

    def _read(self) -> dict[str, list[str]]:
        try:
            rows = json.loads(self._file.read_bytes())
            return {str(name): [str(image) for image in ids] for name, ids in rows.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # what is not known is not removed


def keep_name(engine: Engine, reference: Reference, new: Inspect, policy: Policy) -> None:
    """Name the image that *reference* still means, where its tag is about to go to *new* and the policy keeps the old one."""
    if not (policy.remove_old_image and policy.keep_images):
        return
    old = engine.image(f"{reference.familiar_name}:{reference.tag_or_latest}")
    if old is not None and old["Id"] != new["Id"]:
        name_kept(engine, reference, old)


def name_kept(engine: Engine, reference: Reference, image: Inspect) -> None:
    """Give *image* the name under which it is kept."""
    tag = KEPT_TAG + str(image["Id"]).removeprefix("sha256:")[:_DIGITS]
    if f"{reference.familiar_name}:{tag}" not in (image.get("RepoTags") or ()):
        engine.tag(str(image["Id"]), reference.familiar_name, tag)


def keep_and_remove(
    engine: Engine,
    generations: Generations,
    container: str,
    reference: Reference,
    *,
    old: str,
    now: str,
    policy: Policy,
) -> str:
    """Keep what the policy keeps of the images before *now*, and remove the others; return what is left over, or empty."""
    try:
        gone = generations.add(container, old, now=now, most=policy.keep_images)
    except OSError as error:
        return f"cannot write down which images are kept: {error.strerror}"
    image = engine.image(old) if old in generations.of(container) else None
    if image is not None:
        name_kept(engine, reference, image)
    return _remove(engine, [one for one in gone if one not in generations.all()])


def _remove(engine: Engine, images: Sequence[str]) -> str:
    """Remove *images* unless a name of somebody's or a container still needs them; return why one is left over, or empty."""
    left = ""
    for one in images:
        try:
            image = engine.image(one)
            names = list((image or {}).get("RepoTags") or ())
            if image is None or not all(_is_kept_name(name) for name in names):
                continue
            for name in names:
                engine.remove_image(name, prune_parents=True)
            engine.remove_image(one, prune_parents=True)
        except EngineError as error:  # 404: it went with its last name; 409: a container needs it
            left = left if error.status in (404, 409) else str(error)
    return left


def _is_kept_name(name: str) -> bool:
    try:
        return Reference.parse(name).tag_or_latest.startswith(KEPT_TAG)
    except BadInput:
        return False
