"""How much one host may say in a while: what comes beyond it is thrown away unread, and the host is shut out.

A list that is read as fast as it is filled never grows, so the broker's own measure does not see who fills the database instead.
What is thrown away is not lost: a host keeps what must arrive until the centre's receipt, and tells all else anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fleet.history.inbox.taking import Bad
from fleet.road.up import Letter


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What one host may have taken."""

    window_s: float = 600.0
    """In what time; as long as who took more is shut out."""
    letters: int = 12_000
    """Messages: twenty a second, where a host that updates says three. One that was away for long has some thousand to tell."""
    bytes: int = 128 * 1024 * 1024
    """Of all of them; the snapshot of a thousand containers, told anew whenever one of them changes."""
    refused: int = 200
    """How many of those that cannot be trusted or used are kept for inspection."""


@dataclass(slots=True)
class _Said:
    letters: int = 0
    bytes: int = 0
    refused: int = 0


@dataclass(slots=True, kw_only=True)
class Meter:
    """Counts what every host says in one window after the other."""

    allowance: Allowance
    _began: float | None = None
    _said: dict[str, _Said] = field(default_factory=dict)

    def allowed(self, letters: Sequence[Letter], now: float) -> tuple[list[Letter], list[str]]:
        """Return those of *letters* that are read at *now* (monotonic, in seconds), and the hosts that came to their end with them.

        Who wrote into the one list of all is not known before it is read.
        """
        if self._began is None or now >= self._began + self.allowance.window_s:
            self._began, self._said = now, {}
        taken, ended = [], []
        for letter in letters:
            said = self._of(letter.sender)
            before = self._holds(said)
            said.letters += 1
            said.bytes += len(letter.raw)
            if not letter.sender or self._holds(said):
                taken.append(letter)
            elif before:
                ended.append(letter.sender)
        return taken, ended

    def keeps(self, bad: Bad) -> bool:
        """Count a message that is refused; tell whether it is kept, or enough of its host are."""
        said = self._of(bad.host_id or "")
        said.refused += 1
        return said.refused <= self.allowance.refused

    def _of(self, host: str) -> _Said:
        return self._said.setdefault(host, _Said())

    def _holds(self, said: _Said) -> bool:
        return said.letters <= self.allowance.letters and said.bytes <= self.allowance.bytes
