"""The broker's users, derived from the hosts in SQL: each may read its own queue and append to the inbox, nothing
else.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any

from fleet.road import names
from fleet.road.broker import BrokerAddress
from fleet.road.down import broker_errors

_READING = ("brpop", "zrem", "hdel", "hget", "zrange", "multi", "exec", "watch", "unwatch")
"""What the single-consumer transport says on the host's own keys that lets none of them grow."""
_KEEPING = ("zadd", "hset", "rpush")
"""What it says besides, to keep what it has taken until that is done with."""
_COMMANDS = (*_READING, *_KEEPING)

_SETINFO_SINCE = (7, 2)
"""``CLIENT SETINFO`` came with Redis 7.2; naming it to an older server is an error."""

_USER = re.compile(r"host-[0-9a-f]{32}")

_CHUNK = 500
"""Users that are set with one round trip."""


class Sends(StrEnum):
    """Where a host may append what it has to say."""

    ANYWHERE = "anywhere"
    """To its own list, and to the one of all: its agent may be one that knows no other."""
    OWN = "own"
    """To its own list."""
    NOWHERE = "nowhere"
    """It sent or kept too much; and none of its keys may grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLogin:
    """One host as the broker must know it."""

    host_id: str
    """In hex."""
    password_sha256: str = field(repr=False)
    """In hex; all that the centre keeps of the password."""
    next_sha256: str = field(default="", repr=False)
    """Of the password that holds beside it while it is being replaced; empty: none does."""

    sends: Sends = Sends.ANYWHERE
    """Where it may append."""

    @property
    def hashes(self) -> tuple[str, ...]:
        """The hashes of every password that holds."""
        return tuple(dict.fromkeys(each for each in (self.password_sha256, self.next_sha256) if each))


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    """One host whose user at the broker is not as it should be."""

    login: HostLogin
    void: bool
    """Whether a password holds there that should not: who came in by it must go."""


_PATTERNS = {
    sends: HostLogin(host_id=f"{number:f>32}", password_sha256="0" * 64, sends=sends)
    for number, sends in enumerate(Sends)
}
"""Hosts that there never are, one of each kind; ids of hosts are UUIDs of version 7."""


def password_hash(password: str) -> str:
    """Return the SHA-256 of a broker password, as ACL rules take it. Passwords are random, so it needs no salt."""
    return sha256(password.encode()).hexdigest()


def acl_rules(login: HostLogin, *, setinfo: bool = False) -> list[str]:
    """Return the rules of a host's user, in the order of ``ACL SETUSER``; *setinfo* for servers from 7.2 on.

    Nothing among them runs Lua, blocks without end, or names a key of another host.
    """
    host_id = login.host_id
    # Each by its name: of a pattern a host could make keys without end.
    keys = (names.host_queue(host_id), names.unacked_key(host_id), names.unacked_index_key(host_id))
    commands = _READING if login.sends is Sends.NOWHERE else _COMMANDS
    client = ["+ping", "+client|setname", *(["+client|setinfo"] if setinfo else [])]
    own = ["resetkeys", "resetchannels", "-@all", *client, *(f"~{key}" for key in keys)]
    return [
        "reset",
        "on",
        *(f"#{sha256}" for sha256 in login.hashes),
        *own,
        *(f"+{c}" for c in commands),
        *_inboxes(login),
    ]


def _inboxes(login: HostLogin) -> list[str]:
    keys = {
        Sends.ANYWHERE: (names.inbox_key(login.host_id), names.SHARED_INBOX),
        Sends.OWN: (names.inbox_key(login.host_id),),
        Sends.NOWHERE: (),
    }[login.sends]
    return [f"({' '.join(f'%W~{key}' for key in keys)} +lpush)"] if keys else []


class AclKeeper:
    """Sets and compares the users of hosts on the broker.

    Users set by command are gone after its restart, so this is done again and again.
    """

    def __init__(self, broker: BrokerAddress) -> None:
        """Prepare to keep the users of *broker*, with a login that may."""
        self._broker = broker
        self._client = broker.client()

    def apply(self, hosts: Iterable[HostLogin], *, cut: bool = False) -> None:
        """Set the user of each host; setting it again changes nothing. Raise BrokerUnreachable.

        A connection outlives the password that it was made with; with *cut* each of theirs is ended, so that only
        who has a password that holds comes back.
        """
        hosts = list(hosts)
        with broker_errors(self._broker):
            setinfo = self._knows_setinfo()
            for start in range(0, len(hosts), _CHUNK):
                # In one transaction, so that no host is unknown in between.
                pipeline = self._client.pipeline(transaction=cut)
                for h in hosts[start : start + _CHUNK]:
                    user, rules = names.acl_user(h.host_id), acl_rules(h, setinfo=setinfo)
                    if cut:
                        pipeline.execute_command("ACL DELUSER", user)  # type: ignore[no-untyped-call]
                    pipeline.execute_command("ACL SETUSER", user, *rules)  # type: ignore[no-untyped-call]
                pipeline.execute()

    def missing(self, hosts: Iterable[HostLogin]) -> list[HostLogin]:
        """Return the hosts whose user the broker lacks, or has with another password or other rights.

        Raise BrokerUnreachable.
        """
        return [each.login for each in self.differing(hosts)]

    def differing(self, hosts: Iterable[HostLogin]) -> list[Differing]:
        """Return what ``missing`` does, and for each whether a password holds there that should not.

        Raise BrokerUnreachable.
        """
        with broker_errors(self._broker):
            users = self._users(self._patterns())
        wanted = {sends: users.pop(names.acl_user(each.host_id)) for sends, each in _PATTERNS.items()}
        there = ((h, users.get(names.acl_user(h.host_id), frozenset()), _of(wanted[h.sends], h)) for h in hosts)
        return [
            Differing(login=h, void=bool(_passwords(rights) - _passwords(right)))
            for h, rights, right in there
            if rights != right
        ]

    def drop(self, host_ids: Iterable[str]) -> None:
        """Take the users of removed hosts away, and end their connections. Raise BrokerUnreachable."""
        with broker_errors(self._broker):
            for host_id in host_ids:
                self._client.execute_command(  # type: ignore[no-untyped-call]
                    "ACL DELUSER", names.acl_user(host_id)
                )

    def strangers(self, hosts: Iterable[HostLogin]) -> list[str]:
        """Return the ids of hosts that the broker has a user for and that are not among *hosts*.

        Raise BrokerUnreachable.
        """
        known = {names.acl_user(h.host_id) for h in hosts}
        with broker_errors(self._broker):
            users = self._users(self._client.execute_command("ACL LIST"))  # type: ignore[no-untyped-call]
        return [u.removeprefix("host-") for u in users if u.startswith("host-") and u not in known]

    def turned_away(self, within_s: float) -> set[str]:
        """Return the ids of hosts that somebody tried to log in as with a wrong password in the last *within_s* seconds.

        Raise BrokerUnreachable.
        """
        with broker_errors(self._broker):
            entries = self._client.acl_log()
        users = {
            str(entry["username"])
            for entry in entries
            if entry["reason"] == "auth" and float(str(entry["age-seconds"])) <= within_s
        }
        return {user.removeprefix("host-") for user in users if _USER.fullmatch(user)}

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def _patterns(self) -> list[Any]:
        """Return the users as the server lists them, with some more: hosts' as this server spells their rights.

        Servers write rules back in words of their own (7.0 says ``+@transaction -discard`` for ``+multi +exec +watch
        +unwatch``), so what is right is read from users that exist for the length of one transaction, and are off.
        """
        setinfo = self._knows_setinfo()
        users = {names.acl_user(each.host_id): acl_rules(each, setinfo=setinfo) for each in _PATTERNS.values()}
        pipeline = self._client.pipeline(transaction=True)
        for user, rules in users.items():
            pipeline.execute_command("ACL SETUSER", user, *rules, "off")  # type: ignore[no-untyped-call]
        pipeline.execute_command("ACL LIST")  # type: ignore[no-untyped-call]
        pipeline.execute_command("ACL DELUSER", *users)  # type: ignore[no-untyped-call]
        return list(pipeline.execute()[-2])

    @staticmethod
    def _users(listed: list[Any]) -> dict[str, frozenset[str]]:
        lines = [line.decode() if isinstance(line, bytes) else line for line in listed]
        return {line.split()[1]: _rights(line.replace("(", "( ").replace(")", " )").split()[2:]) for line in lines}

    def _knows_setinfo(self) -> bool:
        version = str(self._client.info("server")["redis_version"]).split(".")
        return (int(version[0]), int(version[1])) >= _SETINFO_SINCE


def _of(wanted: frozenset[str], host: HostLogin) -> frozenset[str]:
    """Return the rights *wanted*, which are those of the pattern of its kind, for *host*."""
    pattern = _PATTERNS[host.sends].host_id
    rights = {right.replace(pattern, host.host_id) for right in wanted} - {"off", *_passwords(wanted)}
    return frozenset(rights | {"on"} | {f"#{sha256}" for sha256 in host.hashes})


def _passwords(rights: frozenset[str]) -> frozenset[str]:
    """Return the hashed passwords among *rights*."""
    return frozenset(right for right in rights if right.startswith("#"))


def _rights(rules: list[str]) -> frozenset[str]:
    """Return what rules allow, in no order: the server writes them back in another one, with words of its own."""
    spoken = " ".join(rules).replace("(", "( ").replace(")", " )").split()
    return frozenset(r for r in spoken if r[0] in "#~%+-" or r in ("on", "off", "nopass", "allkeys", "&*"))
