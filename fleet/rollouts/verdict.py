"""What the outcomes of a command mean for its host in the rollout."""

from collections.abc import Collection

from fleet.rollouts.states import CommandState, HostState
from fleet.updates.outcome import Result

_GOOD = frozenset({Result.UPDATED, Result.ALREADY_CURRENT})
_NO_FAILURE = _GOOD | {Result.SKIPPED}


def verdict(results: Collection[Result]) -> HostState:
    """Return where a host stands once every target of its command has one of *results*."""
    if not _NO_FAILURE.issuperset(results):
        return HostState.FAILED
    return HostState.SKIPPED if _GOOD.isdisjoint(results) else HostState.SUCCEEDED


def settled(host: HostState, command: CommandState, found: HostState) -> HostState | None:
    """Return the new state of a host in *host* whose latest command, which is in *command*, came to *found*.

    None: the host stays where it is. A live try ends with its verdict. A late outcome corrects a try that ran out of
    time, and ends a host that waits for another turn where it already runs what it should.
    """
    if host.live:
        return found
    if host is HostState.FAILED and command is CommandState.EXPIRED:
        return None if found is host else found
    if host in (HostState.PENDING, HostState.CANCELLED) and found is HostState.SUCCEEDED:
        return found
    return None
