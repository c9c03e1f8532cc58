"""What the inbox takes, what it refuses, and that it loses nothing whatever is away."""

import json
import os
import sqlite3
import subprocess
import threading
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws

from fleet.clock import SystemClock
from fleet.controller import keys
from fleet.controller.backoff import Backoff
from fleet.controller.inbox import Inbox, prove
from fleet.errors import BrokerUnreachable, DatabaseUnreachable, FleetError, Refused
from fleet.history.inbox import taking as history
from fleet.history.inbox.taking import Bad, Good
from fleet.history.inventory import containers, hosts
from fleet.history.sql.database import Database
from fleet.road.embedded import EmbeddedBroker
from fleet.road.envelope import CENTRE, seal
from fleet.road.keys import SigningKey
from fleet.road.messages import Claim
from fleet.road.up import InboxReader, Letter
from tests.controller.centre import Centre, enrol, nginx
from tests.controller.processes import running, wait_until

pytestmark = pytest.mark.redis

WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
"""Any JSON."""

GARBAGE = ["", "x", "a.b.c", "{}", "\x00" * 100, "eyJhbGciOiJub25lIn0.e30.", "A" * 5000]


def test_a_snapshot_becomes_containers_and_is_taken_from_the_list(centre: Centre) -> None:
    host = centre.add_host("web-1")
    host.snapshot(nginx("a"), nginx("b"))
    assert centre.inbox.step() == 2
    assert centre.inbox.step() == 0
    assert [row.name for row in containers.containers(centre.db)] == ["a", "b"]
    assert hosts.host(centre.db, "web-1").last_seen_at is not None


def test_garbage_stops_nothing_and_is_kept_for_inspection(centre: Centre) -> None:
    host = centre.add_host("web-1")
    for text in GARBAGE:
        host.say_raw(text)
    host.snapshot(nginx())
    for text in GARBAGE:
        host.say_raw(text)
    assert centre.inbox.step() == 2 * len(GARBAGE) + 2
    assert centre.reader.length() == 0
    assert len(containers.containers(centre.db)) == 1


def test_a_flood_of_garbage_is_worked_off_in_batches(centre: Centre) -> None:
    host = centre.add_host("web-1")
    pipeline = host.broker.client().pipeline(transaction=False)
    for _ in range(2000):
        pipeline.lpush("fleet.inbox", b"A" * 200)
    pipeline.execute()
    host.snapshot(nginx())
    while centre.inbox.step():
        pass
    assert len(containers.containers(centre.db)) == 1


def test_a_message_over_the_limit_is_refused_unread(centre: Centre) -> None:
    host = centre.add_host("web-1")
    host.say_raw("A" * (1024 * 1024 + 1))
    host.heartbeat()
    assert centre.inbox.step() == 2
    assert hosts.host(centre.db, "web-1").last_seen_at is not None


def test_a_message_taken_twice_changes_nothing(centre: Centre) -> None:
    host = centre.add_host("web-1")
    sealed = host.say(Claim(command=uuid4()))
    host.say_raw(sealed)
    host.say_raw(sealed)
    assert centre.inbox.step() == 3
    host.say_raw(sealed)
    assert centre.inbox.step() == 1


def lying(raw: bytes, sender: str = "") -> Letter:
    """Return a message as it lay in the one list of all, or in that of a host."""
    return Letter(raw=raw, sender=sender)


def test_nobody_speaks_for_another_host(centre: Centre) -> None:
    one, two = centre.add_host("web-1"), centre.add_host("web-2")
    forged = seal(Claim(command=uuid4()), key=one.key, issuer=two.id.hex, audience=CENTRE, clock=SystemClock())
    known = {each.key.kid: (each.id.hex, each.key.public) for each in (one, two)}
    (taken,) = prove([lying(forged.encode())], known.get, datetime.now(UTC))
    assert isinstance(taken, Bad)
    assert "issuer does not own the key" in taken.reason


def test_a_key_that_nobody_owns_is_not_believed(centre: Centre) -> None:
    host = centre.add_host("web-1")
    stranger = seal(
        Claim(command=uuid4()), key=SigningKey.generate(), issuer=host.id.hex, audience=CENTRE, clock=SystemClock()
    )
    (taken,) = prove([lying(stranger.encode())], lambda kid: None, datetime.now(UTC))
    assert isinstance(taken, Bad)


def test_an_honest_message_is_good() -> None:
    key, host = SigningKey.generate(), uuid4().hex
    sealed = seal(Claim(command=uuid4()), key=key, issuer=host, audience=CENTRE, clock=SystemClock())
    (taken,) = prove([lying(sealed.encode())], {key.kid: (host, key.public)}.get, datetime.now(UTC))
    assert isinstance(taken, Good)
    assert taken.host_id == host


def test_what_came_by_the_list_of_another_host_is_refused_and_is_that_hosts() -> None:
    """Only that host can have put it there."""
    key, host, other = SigningKey.generate(), uuid4().hex, uuid4().hex
    sealed = seal(Claim(command=uuid4()), key=key, issuer=host, audience=CENTRE, clock=SystemClock()).encode()
    for raw in (sealed, b"garbage"):
        (taken,) = prove([lying(raw, other)], {key.kid: (host, key.public)}.get, datetime.now(UTC))
        assert isinstance(taken, Bad)
        assert taken.host_id == other
    (taken,) = prove([lying(sealed, host)], {key.kid: (host, key.public)}.get, datetime.now(UTC))
    assert isinstance(taken, Good)


@given(raw=st.binary(max_size=300) | st.from_regex(rb"[\w-]+\.[\w-]+\.[\w-]+", fullmatch=True))
def test_no_bytes_at_all_stop_the_proving(raw: bytes) -> None:
    (taken,) = prove([lying(raw)], lambda kid: None, datetime.now(UTC))
    assert isinstance(taken, Bad)


@given(payload=st.dictionaries(st.sampled_from(["iss", "aud", "jti", "iat", "exp", "v", "msg"]), WILD) | WILD)
def test_nothing_that_an_enrolled_host_signs_stops_the_proving(payload: object) -> None:
    """A host may be taken over: its signature is right and its content anything."""
    key, host = SigningKey.generate(), "a" * 32
    body = json.dumps(payload).encode()
    header = {"alg": "Ed25519", "kid": key.kid}
    sealed = jws.serialize_compact(header, body, key.jose, algorithms=["Ed25519"])
    (taken,) = prove([lying(sealed.encode())], lambda kid: (host, key.public), datetime.now(UTC))
    assert isinstance(taken, Bad)


def test_what_nobody_thought_of_costs_its_own_message_alone() -> None:
    def surprised(kid: str) -> None:
        raise ZeroDivisionError

    key = SigningKey.generate()
    sealed = seal(Claim(command=uuid4()), key=key, issuer="a" * 32, audience=CENTRE, clock=SystemClock())
    (taken,) = prove([lying(sealed.encode())], surprised, datetime.now(UTC))
    assert isinstance(taken, Bad)
    assert taken.reason == "cannot read this message: ZeroDivisionError"


def test_a_database_that_goes_away_while_a_key_is_looked_up_refuses_nothing() -> None:
    def away(kid: str) -> None:
        raise DatabaseUnreachable

    key = SigningKey.generate()
    sealed = seal(Claim(command=uuid4()), key=key, issuer="a" * 32, audience=CENTRE, clock=SystemClock())
    with pytest.raises(DatabaseUnreachable):
        prove([lying(sealed.encode())], away, datetime.now(UTC))


def test_the_words_of_a_removed_host_count_no_more(centre: Centre) -> None:
    host = centre.add_host("web-1")
    host.snapshot(nginx())
    hosts.remove_host(centre.db, "web-1", by="person:test", door="test")
    assert centre.inbox.step() == 2
    assert containers.containers(centre.db) == []


def test_while_the_broker_is_away_the_inbox_says_so(centre: Centre, broker: EmbeddedBroker) -> None:
    broker.stop()
    with pytest.raises(BrokerUnreachable):
        centre.inbox.step()


def test_while_the_database_is_away_nothing_is_taken_from_the_list(
    centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = centre.add_host("web-1")
    host.heartbeat()

    def away(*_: object, **__: object) -> None:
        raise DatabaseUnreachable

    with monkeypatch.context() as broken:
        broken.setattr(history, "take", away)
        with pytest.raises(DatabaseUnreachable):
            centre.inbox.step()
    assert centre.reader.length() == 1
    assert centre.inbox.step() == 1


def test_an_inbox_that_lost_its_lock_trims_nothing(centre: Centre) -> None:
    class Lost:
        """A lock that is gone after the batch was written."""

        def __init__(self) -> None:
            self.writing = centre.db.writing

        def held(self) -> bool:
            """Say no."""
            return False

    centre.add_host("web-1").heartbeat()
    inbox = Inbox(centre.db, centre.reader, Lost())  # type: ignore[arg-type]
    with pytest.raises(Refused):
        inbox.step()
    assert centre.reader.length() == 1


def test_a_broker_that_was_flushed_does_not_confuse_the_inbox(centre: Centre) -> None:
    host = centre.add_host("web-1")
    host.heartbeat()
    centre.inbox.step()
    with centre.broker.client() as client:
        client.flushall()
    assert centre.inbox.step() == 0
    host.snapshot(nginx())
    assert centre.inbox.step() == 2


def test_two_inboxes_started_together_lose_nothing_also_where_one_is_killed(
    db: Database, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """One works, the other waits; when the first is killed in the middle the other goes on where it ended."""
    host = enrol(db, broker.address, keys.signing_key(tmp_path), "web-1")
    with inbox_process(broker, tmp_path, 1) as one, inbox_process(broker, tmp_path, 2) as two:
        wait_until(lambda: reads(tmp_path, 1) or reads(tmp_path, 2))
        assert not (reads(tmp_path, 1) and reads(tmp_path, 2))
        for n in range(400):
            host.say(Claim(command=uuid4()))
            if n == 200:
                (one if reads(tmp_path, 1) else two).kill()
        with closing(InboxReader(broker.address)) as reader:
            wait_until(lambda: not reader.length())
    assert taken(tmp_path) == 400
    host.close()


def inbox_process(broker: EmbeddedBroker, state: Path, number: int) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Run an inbox as the supervisor does, its log beside the state; end it with the context."""
    told = {"FLEET_STATE_DIR": str(state), "FLEET_BROKER_URL": broker.address.url, "FLEET_LOG_FORMAT": "json"}
    return running(["inbox"], {**os.environ, **told}, state / f"inbox{number}.log")


def reads(state: Path, number: int) -> bool:
    """Tell whether that inbox has the lock."""
    return "inbox reads" in (state / f"inbox{number}.log").read_text()


def taken(state: Path) -> int:
    """Count the messages that stand in the history."""
    with closing(sqlite3.connect(state / "fleet.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM messages").fetchone()[0])


def test_a_server_that_is_away_is_asked_ever_more_rarely() -> None:
    waits: list[float] = []

    class Stop(threading.Event):
        """An event that notes how long it was waited for."""

        def wait(self, timeout: float | None = None) -> bool:
            """Note it, and do not wait."""
            waits.append(timeout or 0)
            return False

    def away() -> None:
        raise BrokerUnreachable

    backoff = Backoff(Stop(), longest_s=5)
    for _ in range(4):
        backoff.attempt(away)
    backoff.went_well()
    backoff.attempt(away)
    assert waits == [1, 2, 4, 5, 1]


def test_what_is_no_matter_of_waiting_ends_the_process() -> None:
    def broken() -> None:
        raise FleetError

    with pytest.raises(FleetError):
        Backoff(threading.Event(), longest_s=5).attempt(broken)
