"""Text that hosts wrote, made fit to be kept: no database must refuse it, and no index must be too small for it."""

LONG = 2000
"""For reasons and other prose."""
SHORT = 500
"""For names, endpoints and digests: what indexes hold."""


def prose(text: str) -> str:
    """Return *text* as it may be kept where people read it."""
    return _plain(text, LONG)


def name(text: str) -> str:
    """Return *text* as it may be kept where indexes hold it."""
    return _plain(text, SHORT)


def _plain(text: str, most: int) -> str:
    # PostgreSQL refuses NUL in text.
    return text.replace("\0", "�")[:most]
