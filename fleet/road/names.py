"""What queues, lists, keys and users are called on the broker: always by the host's id in hex, since its name may
change.
"""

import re

from fleet.errors import BadInput

TICK_QUEUE = "fleet.tick"
DELIVER = "fleet.host.deliver"
"""The one task of a host's worker: take one signed message."""
TICK = "fleet.tick"
"""The task that the planner runs every few seconds; further beats of the centre are named ``fleet.beat.NAME``."""

_HEX = re.compile(r"[0-9a-f]{32}")
_KEY = re.compile(r"(?:fleet\.inbox\.([0-9a-f]{32})|host\.([0-9a-f]{32})(?:\..*)?)", re.DOTALL)


def host_queue(host_id: str) -> str:
    """Return the queue of a host, the one key that it may read."""
    return f"host.{_checked(host_id)}"


def unacked_key(host_id: str) -> str:
    """Return the hash of the messages that the host's worker has taken and not yet acknowledged."""
    return f"{host_queue(host_id)}.unacked"


def unacked_index_key(host_id: str) -> str:
    """Return the sorted set of when its worker took each of them."""
    return f"{unacked_key(host_id)}_index"


def key_owner(key: str) -> str | None:
    """Return the id of the host that writes to *key*, in hex; empty: hosts of the first version all do; None: none does."""
    if key == SHARED_INBOX:
        return ""
    found = _KEY.fullmatch(key)
    return (found[1] or found[2]) if found else None


SHARED_INBOX = "fleet.inbox"
"""The list that agents append to which know of no list of their own: those of the first version."""


def inbox_key(host_id: str) -> str:
    """Return the list that the host alone appends to, so that what is too much there is certainly its own."""
    return f"{SHARED_INBOX}.{_checked(host_id)}"


def inbox_owner(key: str) -> str:
    """Return the id of the host whose list it is; empty for the shared one. Raise BadInput where it is no inbox."""
    return "" if key == SHARED_INBOX else _checked(key.removeprefix(f"{SHARED_INBOX}."))


def acl_user(host_id: str) -> str:
    """Return the host's login on the broker."""
    return f"host-{_checked(host_id)}"


def _checked(host_id: str) -> str:
    # Names become keys and ACL patterns, where * and % mean something.
    if not _HEX.fullmatch(host_id):
        raise BadInput(f"cannot use {host_id[:40]!r} as a host id; expected 32 hex digits")
    return host_id
