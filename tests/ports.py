"""Ports for servers of others, which must be told one."""

import random
import socket
from pathlib import Path

_GIVEN_AWAY = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000


def free_port() -> int:
    """Return a port of the loopback that nobody holds.

    It is none of those that the kernel gives to whoever connects or asks for any: with several processes of tests beside each
    other, such a port may be somebody else's before the server is there that it was found for.
    """
    first = int(_GIVEN_AWAY.read_text().split()[0])
    own = random.SystemRandom()  # the tests' own seed is the same in every process
    while not _is_free(port := own.randrange(_LOWEST, first)):
        pass
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
