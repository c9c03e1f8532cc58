"""The names of an image as the history keeps them, from a reference as orders carry it."""

from functools import lru_cache

from fleet.images.reference import Reference


@lru_cache(maxsize=4096)
def names_of(reference: str) -> tuple[str, str]:
    """Return the canonical registry/repository of a reference, and the same with its tag; many hosts run the same images."""
    parsed = Reference.parse(reference)
    return parsed.name, f"{parsed.name}:{parsed.tag_or_latest}"
