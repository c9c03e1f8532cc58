"""Text that hosts wrote, made fit to be kept: no database must refuse it, no index must be too small for it, and nothing that
shows it (a terminal, a page, a log, a message to people) must be steered by it.
"""

import unicodedata

from fleet.errors import BadInput
from fleet.images.digest import Digest

LONG = 2000
"""For reasons and other prose."""
SHORT = 500
"""For names, endpoints and digests: what indexes hold."""
_LOST = "\N{REPLACEMENT CHARACTER}"
_LINES = frozenset("\n\t")
_STEERS = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Categories of signs that are nothing to read: control characters, which begin a terminal's commands, halves of pairs, and
separators of lines."""
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What lets text be shown in another order than it is written in, so that one name looks like another."""


def prose(text: str) -> str:
    """Return *text* as it may be kept where people read it, in as many lines as it has."""
    return _plain(text[:LONG], _LINES)


def name(text: str) -> str:
    """Return *text* as it may be kept where indexes hold it, in one line."""
    return _plain(text[:SHORT], frozenset())


def digest(text: str) -> str:
    """Return *text* where it is a digest; empty, which stands for one that is not known, where it is none."""
    try:
        return str(Digest.parse(text)) if text else ""
    except BadInput:
        return ""


def _plain(text: str, lines: frozenset[str]) -> str:
    if text.isprintable():
        return text
    return "".join(_LOST if sign not in lines and _steers(sign) else sign for sign in text)


def _steers(sign: str) -> bool:
    return unicodedata.category(sign) in _STEERS or sign in _TURNS
