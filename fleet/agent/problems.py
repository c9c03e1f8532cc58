"""What is wrong with this host right now, for its heartbeats: each problem once, by its code."""

import threading

LONGEST_LINE = 500
MOST_LINES = 50


class Problems:
    """The problems that were raised and not cleared; safe to use from several threads."""

    def __init__(self) -> None:
        """Begin without any."""
        self._lock = threading.Lock()
        self._texts: dict[str, str] = {}

    def raise_(self, code: str, text: str) -> None:
        """Note that *code* is wrong; *text* begins with cannot."""
        with self._lock:
            self._texts[code] = text

    def clear(self, code: str) -> None:
        """Note that *code* is well; it may have been well before."""
        with self._lock:
            self._texts.pop(code, None)

    def codes(self) -> frozenset[str]:
        """Return the codes of what is wrong."""
        with self._lock:
            return frozenset(self._texts)

    def lines(self) -> tuple[str, ...]:
        """Return ``code: text`` of each, in the order in which they came."""
        with self._lock:
            lines = [f"{code}: {text}" for code, text in self._texts.items()]
        return tuple(line[:LONGEST_LINE] for line in lines[:MOST_LINES])
