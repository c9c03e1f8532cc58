"""What Home Assistant finds at a real MQTT broker: all of it, nothing else, after whatever happened to either."""

import gc
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fleet.clock import SystemClock
from fleet.controller.home import Home, place_of
from fleet.errors import Unreachable
from fleet.history.inventory import hosts
from fleet.history.mirrors import probes
from fleet.history.noted import audit
from fleet.history.questions import queries
from fleet.history.registries import tags
from fleet.history.rules import stops
from fleet.history.sql.database import Database
from fleet.mirrors.probe import MirrorProbe, ProbeState
from fleet.mqtt.entities import ONLINE
from fleet.mqtt.link import Link
from fleet.mqtt.place import thing
from fleet.road.messages import Order, Probed
from fleet.rollouts.selector import Selector
from fleet.rollouts.stops import StopKind
from fleet.settings.centre import CentreSettings
from fleet.testing.certificates import TestAuthority
from fleet.testing.clock import ManualClock
from fleet.testing.registry import ScriptedRegistry
from tests.controller.centre import Inline
from tests.history.world import BY, Agent, World, container, digest_of, open_world, snapshot
from tests.mqtt.brokers import Mosquitto, Witness, mosquitto, soon, witness

pytestmark = pytest.mark.mosquitto

ROOT = Path(__file__).parents[2]
NGINX = "docker.io/library/nginx:1.27"


class SteppedClock(SystemClock):
    """The real clock, but that each look is due at once."""

    def __init__(self) -> None:
        self._s = 0.0

    def monotonic(self) -> float:
        """Return a minute more each time."""
        self._s += 61.0
        return self._s


@pytest.fixture
def world(db: Database, tmp_path: Path) -> Iterator[World]:
    """A fleet without hosts."""
    with ExitStack() as stack:
        yield open_world(db, tmp_path, stack)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """An MQTT broker that keeps nothing over its end."""
    (tmp_path / "mqtt").mkdir()
    with mosquitto(tmp_path / "mqtt") as broker:
        yield broker


@pytest.fixture
def seen(broker: Mosquitto) -> Iterator[Witness]:
    """What Home Assistant sees."""
    with witness(broker) as found:
        yield found


@contextmanager
def telling(db: Database, state: Path, broker: Mosquitto, **mqtt: Any) -> Iterator[Home]:
    """Connect, tell all, and go on telling at each step."""
    settings = CentreSettings.read(state_dir=state, mqtt={"url": broker.url, **mqtt})
    link = Link(settings.mqtt.address(), place_of(settings), lambda: None)
    link.connect()
    try:
        link.publish(place_of(settings).status, ONLINE)
        home = Home(db, link, settings, clock=SteppedClock())
        home._installs.errands, home._installs.clock = Inline(), SystemClock()
        tell(home)
        yield home
    finally:
        link.close()


def tell(home: Home) -> None:
    """Tell all that is due."""
    while home.step():
        pass


def resolve(db: Database, image: str = NGINX, version: str = "new") -> None:
    """Let a tag be known to have the digest of a version."""
    short = image.removeprefix("docker.io/library/")
    tags.record_resolved(db, image, digest_of(f"{short} {version}"), "https://registry-1.docker.io")


def test_a_host_is_a_device_and_each_of_its_containers_an_update(
    world: World, broker: Mosquitto, seen: Witness, tmp_path: Path
) -> None:
    agent = world.add_host(
        "web-1", container("a_b"), container("a-b"), container("a.b"), container("db", "postgres:16")
    )
    resolve(world.db)
    with telling(world.db, tmp_path, broker):
        soon(lambda: len(seen.configs()) == 5)
        named = {config["name"]: config for config in seen.configs().values()}
        assert named.keys() == {"a_b", "a-b", "a.b", "db", "Pending updates"}
        devices = {json.dumps(named[name]["device"], sort_keys=True) for name in ("a_b", "a-b", "a.b", "db")}
        assert len(devices) == 1
        assert named["db"]["device"]["name"] == "web-1"
        assert named["db"]["device"]["identifiers"] == [f"fleet_{agent.id.hex}"]
        assert all("command_topic" not in config for config in named.values())
        old, new = digest_of("nginx:1.27 old")[7:19], digest_of("nginx:1.27 new")[7:19]
        assert seen.state_of("a.b") == {
            "installed_version": f"1.27 ({old})",
            "latest_version": f"1.27 ({new})",
            "title": "nginx:1.27",
            "in_progress": False,
            "release_summary": f"{old} → {new}",
        }
        assert "latest_version" not in seen.state_of("db"), "its tag was never checked"
        assert seen.stands["fleet/centre/pending/state"] == b"3"
        assert seen.stands["fleet/status"] == b"online"
    soon(lambda: seen.stands["fleet/status"] == b"offline")


@pytest.mark.parametrize("name", ["+", "#", "a/b", "fleet/#", "$SYS", "*", "ü ß", "x" * 300, "{{ states }}"])
def test_a_name_of_a_hosts_making_stays_a_name(
    name: str, world: World, broker: Mosquitto, seen: Witness, tmp_path: Path
) -> None:
    agent = world.add_host("web-1", container(name))
    resolve(world.db)
    with telling(world.db, tmp_path, broker, install_hosts=("*",)):
        soon(lambda: len(seen.configs()) == 2)
        topics = {topic for topic in seen.stands if agent.id.hex in topic}
        mine = f"{agent.id.hex}/{thing(name)}"
        assert topics == {
            f"fleet/{agent.id.hex}/status",
            f"fleet/{mine}/state",
            f"homeassistant/update/fleet_{mine}/config",
        }
        config = seen.document(f"homeassistant/update/fleet_{mine}/config")
        assert config["name"] == name[:200]
        assert ("command_topic" in config) == ("*" not in name), "a pattern would mean others too"


def test_only_what_changed_is_sent(world: World, broker: Mosquitto, seen: Witness, tmp_path: Path) -> None:
    world.add_host("web-1", container("nginx"), container("db", "postgres:16"))
    web2 = world.add_host("web-2", container("nginx"))
    resolve(world.db, version="old")
    resolve(world.db, "docker.io/library/postgres:16", "old")
    with telling(world.db, tmp_path, broker) as home:
        soon(lambda: len(seen.configs()) == 4)

        def sent(act: Callable[[], object]) -> list[str]:
            act()
            tell(home)
            seen.say("end", "x")
            soon(lambda: seen.came[-1][0] == "end")
            topics = [topic for topic, _ in seen.came if topic != "end"]
            seen.came.clear()
            return sorted(topics)

        sent(lambda: None)
        for _ in range(3):
            assert sent(lambda: resolve(world.db, version="old")) == []
        states = sorted(config["state_topic"] for config in seen.configs().values() if config["name"] == "nginx")
        assert sent(lambda: resolve(world.db)) == sorted(["fleet/centre/pending/state", *states])
        assert sent(lambda: hosts.label_host(world.db, web2.id, labels={"a": "b"}, **BY)) == []
        renamed = sent(lambda: hosts.rename_host(world.db, web2.id, name="web-3", **BY))
        assert renamed == [f"homeassistant/update/fleet_{web2.id.hex}/{thing('nginx')}/config"]


def test_what_goes_is_taken_away(world: World, broker: Mosquitto, seen: Witness, tmp_path: Path) -> None:
    web = world.add_host("web-1", container("nginx"), container("old"))
    world.add_host("db-1", container("pg"))
    with telling(world.db, tmp_path, broker) as home:
        soon(lambda: len(seen.configs()) == 4)
        new = snapshot(container("nginx"))
        world.take(web, new, world.heartbeat(new.hash))
        hosts.remove_host(world.db, "db-1", **BY)
        tell(home)
        soon(lambda: {config["name"] for config in seen.configs().values()} == {"nginx", "Pending updates"})
        soon(lambda: len(seen.stands) == 1 + 3 + 2)  # states go after their entities
        hosts.remove_host(world.db, "web-1", **BY)
        tell(home)
        soon(lambda: seen.stands == {"fleet/status": b"online"})


def test_what_went_while_nobody_told_is_taken_away_at_the_next_connection(
    world: World, broker: Mosquitto, seen: Witness, tmp_path: Path
) -> None:
    web = world.add_host("web-1", container("nginx"), container("old"))
    world.add_host("db-1", container("pg"))
    with telling(world.db, tmp_path, broker):
        soon(lambda: len(seen.configs()) == 4)
    new = snapshot(container("nginx"))
    world.take(web, new, world.heartbeat(new.hash))
    hosts.remove_host(world.db, "db-1", **BY)
    with telling(world.db, tmp_path, broker):
        soon(lambda: {config["name"] for config in seen.configs().values()} == {"nginx", "Pending updates"})
        soon(lambda: len(seen.stands) == 1 + 3 + 2)


def test_hosts_and_containers_are_chosen_and_those_not_chosen_any_more_go(
    world: World, broker: Mosquitto, seen: Witness, tmp_path: Path
) -> None:
    web = world.add_host("web-1", container("nginx"), container("db", "postgres:16"))
    world.add_host("db-1", container("pg", "postgres:16"))
    with telling(world.db, tmp_path, broker, hosts=("web-*",), images=("nginx",)):
        soon(lambda: {config["name"] for config in seen.configs().values()} == {"nginx", "Pending updates"})
    with telling(world.db, tmp_path, broker, labels=("env=prod",)) as home:
        soon(lambda: seen.stands == {"fleet/status": b"online"})
        hosts.label_host(world.db, web.id, labels={"env": "prod"}, **BY)
        tell(home)
        soon(lambda: len(seen.configs()) == 3)


@pytest.mark.parametrize(
    ("labels", "url"),
    [
        ({}, None),
        ({"org.opencontainers.image.source": "https://a.example/x"}, "https://a.example/x"),
        ({"org.opencontainers.image.source": "git@a:x", "org.opencontainers.image.url": "http://b"}, "http://b"),
        ({"fleet.release-url": "https://c/n", "org.opencontainers.image.source": "https://a"}, "https://c/n"),
        *(
            ({"fleet.release-url": odd}, None)
            for odd in ("javascript:x", "https://", "https://u:p@a", "http://[", "a b", "x" * 9)
        ),
    ],
)
def test_where_its_release_is_told_of_is_a_page_of_the_web(
    labels: dict[str, str], url: str | None, world: World, broker: Mosquitto, seen: Witness, tmp_path: Path
) -> None:
    world.add_host("web-1", replace(container("nginx"), labels=labels))
    with telling(world.db, tmp_path, broker):
        soon(lambda: len(seen.configs()) == 2)
        assert seen.state_of("nginx").get("release_url") == url


def test_the_first_tag_that_is_checked_is_told_at_the_next_look(
    world: World, broker: Mosquitto, seen: Witness, tmp_path: Path
) -> None:
    world.add_host("web-1", container("nginx"))
    world.add_host("web-2", container("nginx"))
    with telling(world.db, tmp_path, broker) as home:
        soon(lambda: len(seen.configs()) == 3)
        resolve(world.db)
        home._changes._round = [""] * 99  # nobody's turn
        tell(home)
        soon(lambda: seen.stands["fleet/centre/pending/state"] == b"2")


def test_a_silent_host_is_not_available(
    world: World, broker: Mosquitto, seen: Witness, tmp_path: Path, clock: ManualClock
) -> None:
    world.db = replace(world.db, clock=clock)
    web = world.add_host("web-1", container("nginx"))
    with telling(world.db, tmp_path, broker) as home:
        soon(lambda: seen.stands.get(f"fleet/{web.id.hex}/status") == b"online")
        clock.advance(3600)
        tell(home)
        soon(lambda: seen.stands[f"fleet/{web.id.hex}/status"] == b"offline")


def test_mirrors_are_told_as_hosts_find_them(world: World, broker: Mosquitto, seen: Witness, tmp_path: Path) -> None:
    web = world.add_host("web-1", container("nginx"))
    with telling(world.db, tmp_path, broker) as home:
        for state, told in ((ProbeState.OK, b"ON"), (ProbeState.DOWN, b"OFF")):
            request = probes.ask_probes(world.db, [web.id], by="person:anna")[web.id]
            found = MirrorProbe(mirror="http://good.lan", registry="docker.io", state=state, reason="x", duration_ms=3)
            world.take(web, Probed(request=request, mirrors=(found,)))
            tell(home)
            soon(lambda told=told: seen.stands.get(f"fleet/centre/{thing('http://good.lan')}/state") == told)  # type: ignore[misc]
        assert seen.named("Mirror http://good.lan")["device_class"] == "connectivity"


class TestBrokerAway:
    """The MQTT broker is killed, and comes again."""

    def test_one_that_lost_everything_has_all_again(self, world: World, broker: Mosquitto, tmp_path: Path) -> None:
        world.add_host("web-1", container("nginx"), container("db"))
        resolve(world.db)
        with telling(world.db, tmp_path, broker) as home, witness(broker) as seen:
            soon(lambda: len(seen.configs()) == 3)
            before = dict(seen.stands)
            broker.kill()
            with pytest.raises(Unreachable, match="^cannot tell Home Assistant anything: the MQTT broker mqtt://127"):  # noqa: RUF043
                soon(lambda: False, home._link.check)
        broker.start()
        with witness(broker) as seen:
            assert seen.stands == {}
            with telling(world.db, tmp_path, broker):
                soon(lambda: seen.stands == before)

    def test_one_that_kept_everything_is_told_nothing_again(self, world: World, tmp_path: Path) -> None:
        (tmp_path / "kept").mkdir()
        world.add_host("web-1", container("nginx"), container("db"))
        with mosquitto(tmp_path / "kept", keeps=True) as broker:
            with telling(world.db, tmp_path, broker), witness(broker) as seen:
                soon(lambda: len(seen.configs()) == 3)
            broker.stop()
            broker.start()
            with witness(broker) as seen:
                soon(lambda: len(seen.configs()) == 3)
                seen.came.clear()
                with telling(world.db, tmp_path, broker):
                    seen.say("end", "x")
                    soon(lambda: ("end", b"x") in seen.came)
                    assert {topic for topic, _ in seen.came} == {"fleet/status", "fleet/mark", "end"}


class TestHostile:
    """Somebody else writes there."""

    def test_what_somebody_left_there_is_mended_and_orders_nothing(
        self, world: World, broker: Mosquitto, seen: Witness, tmp_path: Path
    ) -> None:
        web = world.add_host("web-1", container("nginx"))
        resolve(world.db)
        at = f"{web.id.hex}/{thing('nginx')}"
        right = {}
        with telling(world.db, tmp_path, broker, install_hosts=("*",)):
            soon(lambda: len(seen.configs()) == 2)
            right = dict(seen.stands)
        seen.say(f"fleet/{at}/install", "INSTALL", retain=True)
        seen.say(f"fleet/{at}/state", '{"installed_version": "evil"}', retain=True)
        seen.say(f"homeassistant/update/fleet_{at}/config", "{", retain=True)
        seen.say(f"homeassistant/switch/fleet_{web.id.hex}/evil/config", '{"name": "evil"}', retain=True)
        seen.say(f"fleet/{web.id.hex}/a/b/c/d", "evil", retain=True)
        seen.say("fleet/status", "offline", retain=True)
        with telling(world.db, tmp_path, broker, install_hosts=("*",)) as home:
            soon(lambda: seen.stands == right, lambda: tell(home))
            seen.say("fleet/status", "offline", retain=True)
            soon(lambda: seen.stands == right, lambda: tell(home))
        assert queries.rollouts(world.db).items == ()

    def test_more_than_a_broker_gives_at_once_stands_in_nobodys_way(
        self, world: World, broker: Mosquitto, seen: Witness, tmp_path: Path
    ) -> None:
        web = world.add_host("web-1", container("nginx"))
        other = world.add_host("web-2", container("nginx"))
        for number in range(1500):
            seen._client.publish(f"fleet/{web.id.hex}/evil/{number}", "x", qos=1, retain=True)
        seen.say(f"homeassistant/update/fleet_{other.id.hex}/gone/config", '{"unique_id": "x"}', retain=True)
        with telling(world.db, tmp_path, broker):
            right = {config["name"] for config in seen.configs().values()}
            assert right == {"nginx", "Pending updates"}
            soon(lambda: len(seen.configs()) == 3)

    def test_a_message_of_a_megabyte_is_not_taken(
        self, world: World, broker: Mosquitto, seen: Witness, tmp_path: Path
    ) -> None:
        web = world.add_host("web-1", container("nginx"))
        state = f"fleet/{web.id.hex}/{thing('nginx')}/state"
        seen.say(state, b"x" * 1_000_000, retain=True)
        with telling(world.db, tmp_path, broker) as home:
            seen.say(f"fleet/{web.id.hex}/{thing('nginx')}/install", b"x" * 1_000_000)
            soon(lambda: len(seen.configs()) == 2)
            soon(lambda: len(seen.stands[state]) < 1000)
            tell(home)
            assert home._link.asked.empty()

    def test_requests_that_mean_nothing_order_nothing(
        self, world: World, broker: Mosquitto, seen: Witness, tmp_path: Path
    ) -> None:
        web = world.add_host("web-1", container("nginx"))
        db1 = world.add_host("db-1", container("nginx"))
        resolve(world.db)
        with telling(world.db, tmp_path, broker, install_hosts=("web-*",)) as home:
            soon(lambda: len(seen.configs()) == 3)
            mine, others = (f"fleet/{agent.id.hex}/{thing('nginx')}/install" for agent in (web, db1))
            for topic, payload in ((others, "INSTALL"), (mine, "install"), (mine, ""), (mine, "x" * 1000)):
                seen.say(topic, payload)
            seen.say(mine, "INSTALL", retain=True)
            seen.say(f"fleet/{web.id.hex}/no-such/install", "INSTALL")
            soon(lambda: home._link.asked.qsize() >= 6)
            tell(home)
            assert queries.rollouts(world.db).items == ()
            soon(lambda: mine not in seen.stands)


@dataclass
class Shop:
    """A host whose container follows a tag of a registry that is there."""

    agent: Agent
    image: str
    new: str


@pytest.fixture
def shop(world: World) -> Iterator[Shop]:
    """Its container runs what the tag had before."""
    with ScriptedRegistry() as registry:
        new = registry.shelf.add_image("app", "1", layers=[b"x"])
        image = f"{registry.host}/app:1"
        agent = world.add_host("web-1", container("app", image))
        tags.record_resolved(world.db, image, str(new), registry.host)
        yield Shop(agent, image, str(new))


class TestInstall:
    """The button in Home Assistant."""

    def test_it_goes_the_way_of_fleet_update_and_the_audit_knows_who(
        self, world: World, shop: Shop, broker: Mosquitto, seen: Witness, tmp_path: Path
    ) -> None:
        with telling(world.db, tmp_path, broker, install_hosts=("web-*",)) as home:
            soon(lambda: len(seen.configs()) == 2)
            config = seen.named("app")
            for _ in range(3):
                seen.say(config["command_topic"], config["payload_install"])
            soon(lambda: home._link.asked.qsize() == 3)
            tell(home)
            (rollout,) = queries.rollouts(world.db).items
            assert rollout.asked_by == "mqtt:fleet"
            acts = audit.acts(world.db, who="mqtt:fleet").items
            assert [(act.action, act.door) for act in acts] == [("plan apply", "mqtt")]
            assert [act.id for act in audit.acts(world.db, who="fleet").items] == [acts[0].id]
            order = world.until(Order)
            tell(home)
            soon(lambda: seen.state_of("app")["in_progress"] is True)
            world.deliver(order)
            world.run()
            new = snapshot(replace(container("app", shop.image), digests=(shop.new,)))
            world.take(shop.agent, new, world.heartbeat(new.hash))
            tell(home)
            soon(lambda: seen.state_of("app")["installed_version"] == seen.state_of("app")["latest_version"])
            assert seen.state_of("app")["in_progress"] is False
            soon(lambda: seen.stands["fleet/centre/pending/state"] == b"0")

    def test_what_is_held_stays_and_why_is_shown(
        self, world: World, shop: Shop, broker: Mosquitto, seen: Witness, tmp_path: Path
    ) -> None:
        with telling(world.db, tmp_path, broker, install_hosts=("web-*",)) as home:
            soon(lambda: len(seen.configs()) == 2)
            stops.create_stop(world.db, StopKind.HOLD, Selector(containers=("app",)), reason="after the fair", **BY)
            tell(home)
            soon(lambda: "after the fair" in seen.state_of("app")["release_summary"])
            assert seen.state_of("app")["latest_version"], "that it is outdated is told all the same"
            seen.say(seen.named("app")["command_topic"], "INSTALL")
            soon(lambda: home._link.asked.qsize() == 1)
            tell(home)
            assert queries.rollouts(world.db).items == ()
            soon(lambda: seen.state_of("app")["release_summary"].startswith("not installed: held by person:anna"))
            (act,) = audit.acts(world.db, who="mqtt:fleet").items
            assert (act.action, act.subject, act.details["container"]) == ("refused", "web-1", "app")


class TestLogin:
    """A broker that lets in whom it knows, over TLS."""

    @pytest.fixture
    def guarded(self, tmp_path: Path) -> Iterator[tuple[Mosquitto, Path]]:
        """Such a broker, with the access list that the how-to shows, and its authority."""

        folder = tmp_path / "mqtt"
        folder.mkdir()
        authority = TestAuthority()
        ca = authority.write(folder / "ca.crt")
        certificate, key = authority.issue(["127.0.0.1"], folder)
        for user in ("fleet", "homeassistant"):
            create = [] if (folder / "users").exists() else ["-c"]
            subprocess.run(["mosquitto_passwd", *create, "-b", folder / "users", user, "hunter2"], check=True)
        shown = (ROOT / "docs/how-to/home-assistant.md").read_text().partition("```\nuser fleet")[2].partition("```")[0]
        (folder / "acl").write_text("user fleet" + shown)
        lines = [
            f"certfile {certificate}",
            f"keyfile {key}",
            f"password_file {folder / 'users'}",
            "allow_anonymous false",
            f"acl_file {folder / 'acl'}",
        ]
        with mosquitto(folder, *lines) as broker:
            yield broker, ca

    def settings(self, guarded: tuple[Mosquitto, Path], state: Path, **mqtt: Any) -> CentreSettings:
        """Return the right ones, but for those that are given."""
        broker, ca = guarded
        right = {"url": f"mqtts://127.0.0.1:{broker.port}", "user": "fleet", "password": "hunter2", "ca_file": str(ca)}
        return CentreSettings.read(state_dir=state, mqtt=right | mqtt)

    def test_it_is_let_in(self, world: World, guarded: tuple[Mosquitto, Path], tmp_path: Path) -> None:
        world.add_host("web-1", container("nginx"))
        settings = self.settings(guarded, tmp_path)
        link = Link(settings.mqtt.address(), place_of(settings), lambda: None)
        link.connect()
        with witness(guarded[0], user="homeassistant", password="hunter2", ca=guarded[1]) as seen:
            tell(Home(world.db, link, settings))
            soon(lambda: len(seen.configs()) == 2)
        link.close()

    @pytest.mark.parametrize(
        ("wrong", "why"),
        [
            ({"password": "other"}, "it refuses the connection: (Not authorized|Bad user name or password)"),
            ({"user": "", "password": ""}, "it refuses the connection: Not authorized"),
            ({"ca_file": ""}, "certificate verify failed"),
        ],
    )
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_who_is_not_let_in_says_why_and_no_secret(
        self, wrong: dict[str, str], why: str, guarded: tuple[Mosquitto, Path], tmp_path: Path
    ) -> None:
        settings = self.settings(guarded, tmp_path, **wrong)
        link = Link(settings.mqtt.address(), place_of(settings), lambda: None)
        with pytest.raises(Unreachable, match=why) as refused:
            link.connect()
        assert "hunter2" not in str(refused.value) + guarded[0].log
        # The library leaves the socket of a failed handshake to the collector of garbage.
        del refused, link
        gc.collect()

    def test_one_that_takes_not_all_is_told_of(
        self, world: World, guarded: tuple[Mosquitto, Path], tmp_path: Path
    ) -> None:
        world.add_host("web-1", container("nginx"))
        broker = guarded[0]
        broker.stop()
        acl = broker.folder / "acl"
        acl.write_text(acl.read_text().replace("topic readwrite homeassistant/#\n", "", 1))
        broker.start()
        settings = self.settings(guarded, tmp_path)
        link = Link(settings.mqtt.address(), place_of(settings), lambda: None)
        link.connect()
        tell(Home(world.db, link, settings))
        assert "may fleet write there?" in link.refused
        link.close()
