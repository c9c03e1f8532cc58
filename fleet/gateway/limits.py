"""How long the gateway waits, and for how much; one value, so that tests can be quick."""

from dataclasses import dataclass, field

from fleet.registry.connections import Patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The gateway's bounds; made without arguments, those that the program uses."""

    patience: Patience = field(default_factory=Patience)
    """Per source and request: connect, first byte, silence."""
    floor_bytes_s: float = 64 * 1024
    """A source that is slower is left while another one is: an image layer would take hours."""
    floor_window_s: float = 8.0
    """Over how long the speed is measured; with the time that a first byte takes it stays below 12 seconds."""
    header_hold_s: float = 20.0
    """How long the engine waits for a header: within it a failure is a clean 404. Newer engines give up at 30 seconds."""
    piece_bytes: int = 8 * 1024 * 1024
    """A blob of two such pieces or more is fetched in pieces, several at a time."""
    connections: int = 8
    """For one blob: fewer than tools that fetch in parallel ranges recommend, so that no mirror takes it for an attack."""
    spare_connections: int = 14
    """For all blobs together, beside one for each."""
    readers: int = 40
    """Threads that read: as many as there may be connections, and some for what else takes long, such as a login program."""
    flowing_bytes: int = 512 * 1024
    """How much of a piece tells how fast it comes."""
    gauge_bytes: int = 4 * 1024 * 1024
    """After so much more, at the latest, it is looked at again: the first bytes may have waited in somebody's buffer."""
    fast_bytes_s: float = 512 * 1024
    """Only what comes faster than this gets more connections: a thin line is not to be shared until each is below the
    floor."""
    ample_bytes_s: float = 80e6
    """What comes faster than this is not helped by more connections: it is the line of most hosts, or this machine."""
    long_pieces: int = 8
    """So many pieces are asked for at once where it comes that fast: each request costs a moment."""
    engines_layers: int = 3
    """How many layers an engine takes at a time (dockerd, max-concurrent-downloads): so many are fetched at first."""
    prefetched: int = 6
    """How many layers of one image are fetched at a time where the line turns out to be fast."""
    poured_bytes: int = 1024 * 1024
    """From so much on what is missing of a body is read in a thread: going there costs a moment."""
    pause_s: float = 0.5
    """Before all sources are asked once more."""
    longest_retry_after_s: float = 10.0
    """A source that asks for a longer rest is not waited for."""
    spool_bytes: int = 10 * 1024**3
    """Above this, what earlier pulls left is removed, and no layer is fetched before the engine asks for it."""
    start_s: float = 10.0
    """How long the gateway may take to listen."""
