"""What becomes of a host whose command ran out of time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from fleet.rollouts.spec import TrySpec
from fleet.rollouts.states import CommandState, HostState


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Where a host stands after its command expired."""

    state: HostState
    """PENDING: it gets another turn. FAILED: it does not."""
    spent: bool
    """Whether this counts as a try: an offer that nobody heard does not."""
    not_before: datetime | None = None
    """When the next turn may come at the earliest; None: at once."""
    reason: str = ""


_UNHEARD = (CommandState.PENDING, CommandState.OFFERED, CommandState.CLAIMED)


def after_expiry(state: CommandState, tries: int, spec: TrySpec, now: datetime, host: UUID) -> Expiry:
    """Return what follows when a command of *host* in *state* passes its deadline at *now*; *tries* were spent before it.

    Until the go no container was touched, so the host may be tried again; after it, only the host knows how far it
    came, so the try failed, and the host's late outcome corrects that where it comes.
    """
    if state in _UNHEARD:
        return Expiry(state=HostState.PENDING, spent=False)
    if state is CommandState.APPLYING:
        return Expiry(
            state=HostState.FAILED, spent=True, reason="cannot tell how the update ended: no outcome came in time"
        )
    if tries + 1 >= spec.max:
        return Expiry(
            state=HostState.FAILED, spent=True, reason=f"cannot finish the pull in time, tried {tries + 1} times"
        )
    return Expiry(
        state=HostState.PENDING,
        spent=True,
        not_before=now + backoff(tries + 1, spec, host),
        reason="cannot finish the pull in time",
    )


def backoff(tries: int, spec: TrySpec, host: UUID) -> timedelta:
    """Return the wait of *host* after its *tries*-th spent try: doubled each time, at most 256-fold, and up to a quarter more.

    What failed on many at once is so not tried on all of them at once again. The same for the same host and try.
    """
    whole = spec.backoff_ms * 2 ** min(tries - 1, 8)
    chance = int.from_bytes(sha256(host.bytes + bytes([min(tries, 255)])).digest()[:4]) % 1000
    return timedelta(milliseconds=whole + whole * chance // 4000)
