"""What Home Assistant is told, as values: no name steers a topic, no two things are one, and what is new never looks old."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import BadInput
from fleet.mqtt.address import MqttAddress
from fleet.mqtt.entities import CentreTold, ContainerTold, HostTold, of_centre, of_host, version
from fleet.mqtt.place import Place, thing
from fleet.mqtt.retained import Retained
from fleet.testing.certificates import TestAuthority

PLACE = Place()
HOST = "0" * 31 + "1"
OLD, NEW = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


def told(*names: str, **more: object) -> HostTold:
    """Return a host with containers that are called so."""
    containers = [ContainerTold(name=name, title="nginx", installed="1 (a)", latest="1 (b)") for name in names]
    return HostTold(id=HOST, name="web-1", containers=tuple(containers), **more)  # type: ignore[arg-type]


@given(st.lists(st.text(max_size=80), unique=True, max_size=8))
def test_whatever_containers_are_called_each_is_one_entity_below_its_host(names: list[str]) -> None:
    messages = of_host(told(*names), PLACE)
    configs = [json.loads(payload) for topic, payload in messages.items() if topic.endswith("/config")]
    assert len({config["unique_id"] for config in configs}) == len(names)
    assert len({config["state_topic"] for config in configs}) == len(names)
    for topic in messages:
        assert not set(topic) & set("+#\0\n ")
        assert topic.isascii()
        assert PLACE.owner_of(topic) == HOST
        assert topic.count("/") in (2, 3, 4)


@pytest.mark.parametrize(
    ("one", "other"), [("a_b", "a-b"), ("a.b", "a-b"), ("A", "a"), ("a" * 41, "a" * 42), ("+", "#")]
)
def test_names_that_look_alike_are_two_things(one: str, other: str) -> None:
    assert thing(one) != thing(other)


def test_a_request_is_known_by_its_topic_alone() -> None:
    assert PLACE.asked(PLACE.install(HOST, thing("a/b"))) == (HOST, thing("a/b"))
    for other in ("fleet/x/install", "fleet/x/y/z/install", "other/x/y/install", "fleet/x/y/state"):
        assert PLACE.asked(other) is None


def test_digests_of_digits_alone_are_no_versions() -> None:
    """Home Assistant would take the second for older, and show nothing."""
    assert (version("1", NEW), version("1", OLD)) == ("1 (222222222222)", "1 (111111111111)")


def test_two_digests_are_never_called_the_same() -> None:
    alike = f"sha256:{'1' * 12}{'2' * 52}"
    assert version("1", OLD, alike) != version("1", alike, OLD)


def test_what_is_not_known_is_not_told_and_makes_the_entity_unavailable() -> None:
    unknown = ContainerTold(
        name="web", title="nginx", installed="1 (a)", latest="", summary="its tag was not checked yet"
    )
    messages = of_host(HostTold(id=HOST, name="web-1", containers=(unknown,)), PLACE)
    (state,) = [json.loads(payload) for topic, payload in messages.items() if topic.endswith("/state")]
    assert "latest_version" not in state
    assert state["release_summary"] == "its tag was not checked yet"
    (config,) = [json.loads(payload) for topic, payload in messages.items() if topic.endswith("/config")]
    assert "value_json.latest_version is defined" in config["availability"][-1]["value_template"]


def test_a_summary_is_as_long_as_home_assistant_shows() -> None:
    long = ContainerTold(name="web", title="nginx", installed="1", latest="2", summary="é" * 300)
    messages = of_host(HostTold(id=HOST, name="web-1", containers=(long,)), PLACE)
    (state,) = [json.loads(payload) for topic, payload in messages.items() if topic.endswith("/state")]
    assert state["release_summary"] == "é" * 255


def test_the_button_is_there_only_where_it_is_allowed() -> None:
    for may in (False, True):
        container = ContainerTold(name="web", title="nginx", installed="1", latest="2", may_install=may)
        messages = of_host(HostTold(id=HOST, name="web-1", containers=(container,)), PLACE)
        (config,) = [json.loads(payload) for topic, payload in messages.items() if topic.endswith("/config")]
        assert ("command_topic" in config, "payload_install" in config) == (may, may)


def test_mirrors_that_are_alike_are_two_sensors() -> None:
    centre = CentreTold(pending=3, mirrors=(("http://a.lan:5000", True), ("http://a.lan/5000", False)))
    messages = of_centre(centre, PLACE)
    assert sorted(payload for topic, payload in messages.items() if topic.endswith("/state")) == [b"3", b"OFF", b"ON"]
    assert {PLACE.owner_of(topic) for topic in messages} == {"centre"}


def test_only_what_differs_is_sent_and_states_come_before_their_entities() -> None:
    retained = Retained()
    messages = of_host(told("a", "b"), PLACE)
    assert dict(retained.settle(HOST, messages)) == messages
    assert list(retained.settle(HOST, messages)) == []
    changed = of_host(told("a", "b", online=False), PLACE)
    assert list(retained.settle(HOST, changed)) == [(PLACE.status_of(HOST), b"offline")]
    topics = [topic.rpartition("/")[2] for topic in messages]
    assert topics.index("state") < topics.index("config")
    gone = list(retained.settle(HOST, {}))
    assert {topic for topic, _ in gone} == set(messages)
    assert all(payload == b"" for _, payload in gone)
    assert [topic.endswith("/config") for topic, _ in gone] == [True, True, False, False, False]


def test_what_stood_there_before_is_mended_or_goes() -> None:
    retained = Retained()
    wanted = {"fleet/h/status": b"online", "fleet/h/a/state": b"1"}
    retained.learn("h", {"fleet/h/status": b"online", "fleet/h/a/state": b"evil", "fleet/h/evil/install": b"INSTALL"})
    assert list(retained.settle("h", wanted)) == [("fleet/h/evil/install", b""), ("fleet/h/a/state", b"1")]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "expected mqtts://HOST"),
        ("http://a", "expected mqtts://HOST"),
        ("mqtts://", "expected mqtts://HOST"),
        ("mqtts://a:x", "read the MQTT"),
        ("mqtts://a/topic", "behind the host"),
        ("mqtts://me:hunter2@a", "a login"),
        ("mqtt://a.lan", "plaintext"),
    ],
)
def test_an_address_that_is_broken_or_unsafe_is_refused_without_its_secret(url: str, why: str) -> None:
    with pytest.raises(BadInput, match=f"^cannot .*{why}") as refused:
        MqttAddress.parse(url)
    assert "hunter2" not in str(refused.value)


def test_an_address_has_the_port_of_its_scheme_and_shows_no_secret(tmp_path: Path) -> None:
    ca = TestAuthority().write(tmp_path / "ca.crt")
    address = MqttAddress.parse("mqtts://a.lan", user="me", password="hunter2", ca_file=str(ca))
    assert (str(address), MqttAddress.parse("mqtt://[::1]").port) == ("mqtts://a.lan:8883", 1883)
    assert "hunter2" not in repr(address)
    with pytest.raises(BadInput, match="cannot use the MQTT broker's CA"):
        MqttAddress.parse("mqtts://a.lan", ca_file=str(tmp_path / "none"))
    with pytest.raises(BadInput, match="without a user"):
        MqttAddress.parse("mqtts://a.lan", password="hunter2")
