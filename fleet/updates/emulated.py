"""Images that this machine only emulates: their platform is said when a container is created. Pure."""

from fleet.engine.protocol import Inspect
from fleet.images.platform import readable


def foreign_platform(image: Inspect, architecture: str) -> str:
    """Return the platform of *image* where it is not the machine's own *architecture*, else empty.

    It is that of the very image which a container is made from: that of the one before it may have been a mistake of its
    builder, and an engine refuses an image that is not what was said. Empty, too, for what no engine reads as a platform.
    """
    own = str(image.get("Architecture") or architecture)
    if own == architecture:
        return ""
    return readable("/".join(part for part in (image.get("Os") or "linux", own, image.get("Variant")) if part))
