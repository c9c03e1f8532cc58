"""Which address of a host is connected to: the first that answers, tried one beside the other, and none that is refused."""

import asyncio
import itertools
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

OTHER_FAMILY_S = 0.25
"""After so long without an answer another address is tried beside it (RFC 8305)."""

_REFUSED = "it leads to this machine, or to where clouds tell their machines secrets"
_Found = tuple[int, int, int, str, Any]
"""What the system says of one address: family, type, protocol, canonical name, address."""
Refusal = Callable[[str], bool]
"""Tells of an IP address that it must not be asked."""


async def connected(host: str, port: int, local_address: str | None, refuses: Refusal) -> socket.socket:
    """Return a socket that is connected to the first address of *host* that answers; raise OSError where none does.

    A family whose address does not answer soon is not waited for before the other is tried (RFC 8305).
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    left = deque(_by_turns(found))
    trying: set[asyncio.Task[socket.socket]] = set()
    failure: BaseException = OSError(f"no address of {host} is known")
    try:
        while left or trying:
            if left:
                trying.add(asyncio.create_task(_connect(left.popleft(), local_address, refuses)))
            done, _ = await asyncio.wait(
                trying, timeout=OTHER_FAMILY_S if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                trying.discard(task)
                if (error := task.exception()) is None:
                    return task.result()
                failure = error
        raise failure
    finally:
        for task in trying:
            task.cancel()
            task.add_done_callback(_drop)


async def _connect(found: _Found, local_address: str | None, refuses: Refusal) -> socket.socket:
    family, kind, protocol, _, address = found
    if refuses(address[0]):
        raise OSError(_REFUSED)
    own = socket.socket(family, kind, protocol)
    try:
        own.setblocking(False)
        if local_address:
            own.bind((local_address, 0))
        await asyncio.get_running_loop().sock_connect(own, address)
        # A request is one small piece, which is not to wait for another.
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        own.close()
        raise
    return own


def _drop(task: "asyncio.Task[socket.socket]") -> None:
    """Close what connected when nobody waited for it any more."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _by_turns(found: Iterable[_Found]) -> list[_Found]:
    """Return addresses so that families take turns, beginning with the first."""
    families: dict[int, list[_Found]] = {}
    for each in found:
        families.setdefault(each[0], []).append(each)
    return [each for turn in itertools.zip_longest(*families.values()) for each in turn if each is not None]
