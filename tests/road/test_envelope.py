"""The signed envelope: what the right key said to the right reader is read, and nothing else, whatever it is made of."""

import base64
import json
import warnings
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OctKey

from fleet.errors import BadInput, Untrusted
from fleet.road.envelope import CENTRE, open_down, open_up, seal
from fleet.road.keys import PublicKey, SigningKey
from fleet.road.messages import (
    Claim,
    Go,
    Offer,
    Order,
    Progress,
    Resolve,
)
from fleet.road.versions import MAX_MESSAGE_BYTES, VERSION, Message
from fleet.testing.clock import ManualClock
from fleet.updates.command import Policy

CENTRE_KEY, HOST_KEY, STRANGER = (SigningKey.generate() for _ in range(3))
HOST, OTHER = uuid4().hex, uuid4().hex
KEYS = {CENTRE_KEY.kid: CENTRE_KEY.public}
OWNERS = {HOST_KEY.kid: (HOST, HOST_KEY.public)}
CLOCK = ManualClock()
GO = Go(command=uuid4())


def down(message: Message = GO, **how: Any) -> str:
    """Return what the centre says to the host."""
    said: dict[str, Any] = {"key": CENTRE_KEY, "issuer": CENTRE, "audience": HOST, "clock": CLOCK}
    return seal(message, **(said | how))


def up(message: Message, **how: Any) -> str:
    """Return what the host says to the centre."""
    said: dict[str, Any] = {"key": HOST_KEY, "issuer": HOST, "audience": CENTRE, "clock": CLOCK}
    return seal(message, **(said | how))


def read(sealed: str | bytes, *, after_s: float = 0) -> Any:
    """Read as the host does, some time after."""
    return open_down(sealed, keys=KEYS, host_id=HOST, now=CLOCK.now() + timedelta(seconds=after_s))


def signed(claims: Any, *, key: SigningKey = CENTRE_KEY, **header: Any) -> str:
    """Sign whatever is given, as whoever holds *key* could."""
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jws.serialize_compact({"alg": "Ed25519", "kid": key.kid} | header, body, key.jose, algorithms=["Ed25519"])


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a message that would be read, with *changes*."""
    (payload,) = [part for number, part in enumerate(down().split(".")) if number == 1]
    told: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return {name: value for name, value in (told | changes).items() if value is not None}


def refuse(sealed: str | bytes, reason: str = "") -> None:
    """Assert that the host trusts it no further than to say why."""
    with pytest.raises(Untrusted, match=f"^cannot trust this message.*{reason}"):
        read(sealed)


def test_what_the_centre_says_is_read_as_it_was_said() -> None:
    opened = read(down(id=UUID(int=7)))
    assert opened.message == GO
    assert (opened.id, opened.issuer, opened.kid) == (UUID(int=7), "fleet", CENTRE_KEY.kid)
    assert opened.expires_at - opened.issued_at == timedelta(hours=1)


def test_what_a_host_says_is_read_under_its_own_id() -> None:
    opened = open_up(up(Claim(command=UUID(int=1))), keys=OWNERS.get)
    assert (opened.issuer, opened.message) == (HOST, Claim(command=UUID(int=1)))


def test_each_message_gets_an_id_of_its_own() -> None:
    assert read(down()).id != read(down()).id


def test_the_older_name_of_the_algorithm_is_refused() -> None:
    body = json.dumps(claims()).encode()
    header = {"alg": "EdDSA", "kid": CENTRE_KEY.kid}
    with warnings.catch_warnings(action="ignore"):
        refuse(jws.serialize_compact(header, body, CENTRE_KEY.jose, algorithms=["EdDSA"]))


@pytest.mark.parametrize("signature", ["", "AAAA"])
@pytest.mark.parametrize("alg", ["none", "None", "NONE", ""])
def test_no_algorithm_is_refused(alg: str, signature: str) -> None:
    header = {"alg": alg, "kid": CENTRE_KEY.kid}
    refuse(".".join([encoded(header), encoded(claims()), signature]))


def test_the_public_key_as_a_shared_secret_is_refused() -> None:
    secret = OctKey.import_key(str(CENTRE_KEY.public).encode())
    header = {"alg": "HS256", "kid": CENTRE_KEY.kid}
    refuse(jws.serialize_compact(header, json.dumps(claims()).encode(), secret, algorithms=["HS256"]))


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["kid"]},
        {"jwk": json.loads(str(STRANGER.public))},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"typ": "JWT"},
        {"cty": "json"},
    ],
)
def test_a_header_that_asks_for_more_is_refused(header: dict[str, Any]) -> None:
    refuse(signed(claims(), **header))


def test_a_key_that_nobody_knows_is_refused() -> None:
    refuse(down(key=STRANGER), "nobody here knows its key")


def test_a_stranger_who_names_the_centres_key_is_refused() -> None:
    refuse(signed(claims(), key=STRANGER, kid=CENTRE_KEY.kid), "signature is wrong")


@pytest.mark.parametrize("kid", [None, 7, "", "x" * 10_000, {"a": 1}, ["a"]])
def test_a_strange_name_of_a_key_is_refused(kid: Any) -> None:
    refuse(".".join([encoded({"alg": "Ed25519", "kid": kid}), encoded(claims()), "AAAA"]))


def test_what_is_meant_for_another_host_is_refused() -> None:
    refuse(down(audience=OTHER), "another host")


def test_what_a_host_says_is_no_order_for_another() -> None:
    keys = KEYS | {HOST_KEY.kid: HOST_KEY.public}
    sealed = seal(GO, key=HOST_KEY, issuer=HOST, audience=OTHER, clock=CLOCK)
    with pytest.raises(Untrusted, match=r"not from the centre"):
        open_down(sealed, keys=keys, host_id=OTHER, now=CLOCK.now())


def test_a_host_that_names_another_as_issuer_is_refused() -> None:
    with pytest.raises(Untrusted, match=r"does not own the key"):
        open_up(up(Claim(command=uuid4()), issuer=OTHER), keys=OWNERS.get)


def test_a_host_that_calls_itself_the_centre_is_refused() -> None:
    with pytest.raises(Untrusted, match=r"does not own the key"):
        open_up(up(Claim(command=uuid4()), issuer=CENTRE), keys=OWNERS.get)


def test_what_the_centre_said_is_nothing_that_a_host_said() -> None:
    owners = OWNERS | {CENTRE_KEY.kid: (HOST, CENTRE_KEY.public)}
    with pytest.raises(Untrusted):
        open_up(down(), keys=owners.get)


def test_what_is_not_meant_for_the_centre_is_refused() -> None:
    with pytest.raises(Untrusted, match=r"not meant for the centre"):
        open_up(up(Claim(command=uuid4()), audience=OTHER), keys=OWNERS.get)


def test_a_message_holds_until_it_expires_and_no_longer() -> None:
    sealed = down(ttl_s=60)
    read(sealed, after_s=59)
    with pytest.raises(Untrusted, match=r"expired"):
        read(sealed, after_s=60)


def test_the_times_of_a_host_are_not_judged() -> None:
    early = ManualClock(CLOCK.now() - timedelta(days=400))
    assert open_up(up(Claim(command=UUID(int=1)), clock=early), keys=OWNERS.get).message.kind == "claim"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None},
        {"aud": None},
        {"aud": ["host:" + HOST]},
        {"jti": None},
        {"jti": "not an id"},
        {"iat": -1},
        {"exp": 2**40},
        {"exp": "soon"},
        {"v": 2},
        {"nbf": 0},
        {"msg": None},
        {"msg": {"kind": "run", "command": "rm"}},
        {"msg": {"kind": "go"}},
        {"msg": {"kind": "go", "command": str(UUID(int=9)), "shell": "sh"}},
        {"msg": {"kind": "claim", "command": str(UUID(int=9))}},
        {"msg": {"kind": "go", "command": str(UUID(int=9)), "v": VERSION + 1}},
    ],
    ids=lambda changes: ", ".join(changes),
)
def test_content_of_another_shape_is_refused_though_the_centre_signed_it(changes: dict[str, Any]) -> None:
    refuse(signed(claims(**changes)))


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"7", b"[" * 100_000], ids=repr)
def test_content_that_is_no_message_at_all_is_refused(body: bytes) -> None:
    refuse(signed(body))


def test_a_message_that_is_too_large_is_refused_before_it_is_looked_at() -> None:
    refuse("A" * (MAX_MESSAGE_BYTES + 1), "too large")
    refuse(b"\xff" * (MAX_MESSAGE_BYTES + 1), "too large")


def test_a_message_that_is_too_large_is_not_signed() -> None:
    with pytest.raises(BadInput, match=r"^cannot (send|sign) a message"):
        up(Progress(command=uuid4(), phase="pull", mirror="x" * MAX_MESSAGE_BYTES))
    with pytest.raises(BadInput, match=r"^cannot send a message of"):
        up(Progress(command=uuid4(), phase="pull", mirror="x" * (MAX_MESSAGE_BYTES * 4 // 5)))


def test_a_message_near_the_limit_passes() -> None:
    message = Progress(command=uuid4(), phase="pull", mirror="x" * 700_000)
    assert open_up(up(message), keys=OWNERS.get).message == message


@pytest.mark.parametrize(
    "message",
    [
        Offer(command=uuid4()),
        Order(command=uuid4(), targets=(), policy=Policy(), pull_ids={}),
        Resolve(request=uuid4(), reference="ghcr.io/a/b:1"),
    ],
    ids=lambda message: message.kind,
)
def test_every_message_comes_back_as_it_went(message: Message) -> None:
    assert read(down(message)).message == message


def test_a_field_that_the_first_version_wrote_is_read_and_written_no_more() -> None:
    """It was always empty, and nobody ever looked at it."""
    offer = Offer(command=uuid4())
    assert "traceparent" not in offer.model_dump()
    assert Offer.model_validate({**offer.model_dump(), "traceparent": ""}) == offer


@given(st.one_of(st.text(), st.binary(), st.from_regex(r"\A[A-Za-z0-9_\-]*\.[A-Za-z0-9_\-]*\.[A-Za-z0-9_\-]*\Z")))
def test_no_garbage_is_trusted_and_none_does_harm(garbage: str | bytes) -> None:
    refuse(garbage)


@given(st.data())
def test_one_changed_character_voids_a_message(data: st.DataObject) -> None:
    sealed = down()
    at = data.draw(st.integers(0, len(sealed) - 1))
    changed = data.draw(st.characters(codec="ascii").filter(lambda sign: sign != sealed[at]))
    forged = sealed[:at] + changed + sealed[at + 1 :]
    try:
        opened = read(forged)
    except Untrusted:
        return
    # The last character of base64 holds bits that mean nothing; what was signed is the same then.
    assert opened == read(sealed)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.dictionaries(st.text(), s)))
def test_whatever_the_centres_own_key_signs_must_have_the_shape(content: Any) -> None:
    refuse(signed({"msg": content} if not isinstance(content, dict) else content))


def test_one_key_of_two_is_enough_while_the_centre_changes_its_key() -> None:
    keys: dict[str, PublicKey] = KEYS | {STRANGER.kid: STRANGER.public}
    for key in (CENTRE_KEY, STRANGER):
        assert open_down(down(key=key), keys=keys, host_id=HOST, now=CLOCK.now()).kid == key.kid


def encoded(part: Any) -> str:
    """Return a part of a JWS."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
