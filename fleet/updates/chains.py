"""Which layers an engine has: those of its images, each with all below it."""

from collections.abc import Sequence

from fleet.engine.protocol import Engine
from fleet.errors import EngineError
from fleet.gateway.prefetch import Chain

_MOST_NAMES = 1000
"""So many names are looked at: each costs a question of some milliseconds, and missing one costs some bytes at most."""


def chains(engine: Engine) -> Sequence[Chain]:
    """Return what the layers of each image that has a name unpack to; may raise EngineUnreachable."""
    names = engine.image_names()
    tagged = [name for name in names if "@" not in name]
    bare = {name.rpartition(":")[0] for name in tagged}
    # Most images have both a tag and a digest; one question is enough for the two names.
    digests = [name for name in names if "@" in name and name.partition("@")[0] not in bare]
    found = {_chain(engine, name) for name in (*tagged, *digests)[:_MOST_NAMES]}
    return sorted(found - {()})


def _chain(engine: Engine, name: str) -> Chain:
    try:
        image = engine.image(name) or {}
    except EngineError:
        return ()
    return tuple((image.get("RootFS") or {}).get("Layers") or ())
