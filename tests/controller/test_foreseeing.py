"""A plan says what changes in the containers' configuration, and where it cannot, that and why."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from fleet.controller.draw import Drawn, draw
from fleet.controller.foreseeing import attach, with_foresight
from fleet.controller.image_configs import Config, ImageConfigs, ImageOf, Unreadable
from fleet.controller.resolving import Asking
from fleet.history.inventory.containers import ContainerRow
from fleet.history.registries.limits import record_limit
from fleet.history.sql.database import Database
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.route import route
from fleet.mirrors.source import Source
from fleet.mirrors.table import MirrorTable
from fleet.registry.credentials import NoCredentials
from fleet.rollouts.plan import PlanDocument
from fleet.testing.faults import Fault
from fleet.testing.gatekeeper import Access
from fleet.testing.images import LINUX_AMD64
from fleet.testing.registry import ScriptedRegistry
from tests.controller.test_drawing import HOST, IMAGE, NEW, OLD, POLICIES, alike, container, tag

NOBODY = Asking(credentials=NoCredentials())
ARM = Platform("linux", "arm64")
NGINX = "docker.io/library/nginx"
BEFORE, AFTER = (
    ImageOf(name=NGINX, digest=OLD, platform="linux/amd64"),
    ImageOf(name=NGINX, digest=NEW, platform="linux/amd64"),
)


def sources(reference: str, *mirrors: ScriptedRegistry) -> tuple[Source, ...]:
    """Return the sources of *reference* where these mirrors stand in for its registry."""
    parsed = Reference.parse(reference)
    rules = parse_mirrors([{"for": parsed.registry, "url": mirror.url} for mirror in mirrors])
    return route(parsed, MirrorTable.of(rules)).sources


def on_shelf(registry: ScriptedRegistry, config: dict[str, Any], tag: str = "1", **more: Any) -> ImageOf:
    """Put an image with *config* there, and return what it is known by."""
    digest = registry.shelf.add_image("app", tag, config=config, **more)
    return ImageOf(name=f"{registry.host}/app", digest=str(digest), platform="linux/amd64")


def plan_of(*rows: ContainerRow) -> Drawn:
    """Return the plan that brings *rows* to NEW."""
    policies = dict.fromkeys((row.host_id for row in rows), POLICIES[HOST])
    return draw(alike(rows, policies), {IMAGE: tag()})


class TestImages:
    def test_a_config_is_read_by_digest_and_asked_for_once(self) -> None:
        with ScriptedRegistry() as registry:
            image = on_shelf(registry, {"User": "app", "OnBuild": ["x"]})
            configs, wanted = ImageConfigs(), {image: sources(f"{registry.host}/app")}
            assert configs.look(wanted, NOBODY) == {image: {"User": "app"}}
            asked = len(registry.log)
            assert configs.look(wanted, NOBODY) == configs.look(wanted, None) == {image: {"User": "app"}}
            assert len(registry.log) == asked

    def test_of_an_index_the_platform_of_the_host_counts(self) -> None:
        with ScriptedRegistry() as registry:
            image = on_shelf(registry, {"User": "app"}, platforms=(LINUX_AMD64, ARM))
            other = replace(image, platform="linux/s390x")
            wanted = dict.fromkeys((image, other), sources(f"{registry.host}/app"))
            found = ImageConfigs().look(wanted, NOBODY)
            assert found[image] == {"User": "app"}
            assert isinstance(found[other], Unreadable)
            assert "cannot find an image for linux/s390x" in str(found[other])

    def test_mirrors_are_asked_first_and_the_next_where_one_is_dead_or_lies(self) -> None:
        with (
            ScriptedRegistry() as dead,
            ScriptedRegistry() as liar,
            ScriptedRegistry() as good,
            ScriptedRegistry() as origin,
        ):
            image = replace(on_shelf(good, {"User": "app"}), name=f"{origin.host}/app")
            on_shelf(liar, {"User": "app"})
            liar.faults.add(Fault.WRONG_BYTES)
            with dead.down():
                found = ImageConfigs().look({image: sources(f"{origin.host}/app", dead, liar, good)}, NOBODY)
            assert found == {image: {"User": "app"}}
            assert not origin.log

    @pytest.mark.parametrize("private", [True, False])
    def test_what_only_a_host_may_read_or_is_gone_is_said_to_be_so(self, private: bool) -> None:
        access = Access(scheme="basic", username="u", password="p") if private else None
        with ScriptedRegistry(access=access) as registry:
            image = replace(on_shelf(registry, {}), digest=str(Digest.of(b"gone")))
            (found,) = ImageConfigs().look({image: sources(f"{registry.host}/app")}, NOBODY).values()
            assert isinstance(found, Unreadable)
            assert ("docker login" if private else "it is not there") in found.reason

    def test_an_origin_whose_rate_limit_is_nearly_used_up_is_left_to_the_hosts(self) -> None:
        with ScriptedRegistry() as registry:
            image = on_shelf(registry, {})
            wanted = {image: sources(f"{registry.host}/app")}
            (found,) = ImageConfigs().look(wanted, NOBODY, spent={registry.host}).values()
            assert isinstance(found, Unreadable)
            assert "rate limit" in found.reason
            assert not registry.log

    def test_a_registry_that_hangs_holds_a_plan_up_for_no_longer_than_its_time(self) -> None:
        with ScriptedRegistry() as registry:
            image = on_shelf(registry, {})
            registry.faults.add(Fault.HANG)
            (found,) = ImageConfigs(within_s=0.5).look({image: sources(f"{registry.host}/app")}, NOBODY).values()
            assert found == Unreadable("no answer within 0 s; plan again to ask for the rest")

    @pytest.mark.parametrize("config", [{"Env": "A=1"}, {"Cmd": [1]}, {"Labels": ["a"]}, {"User": 5}])
    def test_a_config_of_another_kind_is_not_read(self, config: dict[str, Any]) -> None:
        with ScriptedRegistry() as registry:
            image = on_shelf(registry, config)
            (found,) = ImageConfigs().look({image: sources(f"{registry.host}/app")}, NOBODY).values()
            assert isinstance(found, Unreadable)
            assert "of another kind" in found.reason


class TestPlan:
    known: Mapping[ImageOf, Config | Unreadable] = {
        BEFORE: {"User": "a", "Env": ["A=1"]},
        AFTER: {"User": "b", "Env": ["A=2"]},
    }

    def test_hosts_that_are_alike_share_what_is_told(self) -> None:
        plain = [container(host=f"web-{n}", host_id=UUID(int=n), own=()) for n in range(3)]
        told = attach(plan_of(*plain, container(host="web-7", own=("Config.User",))), self.known)
        assert [host.containers[0].configuration for host in told.hosts] == [0, 0, 0, 1]
        first, second = told.configurations
        assert first.changes == ("Config.Env.A: changed", 'Config.User: "a" -> "b"')
        assert (second.changes, second.overridden) == (("Config.Env.A: changed",), ("Config.User",))
        assert PlanDocument.parse(told.document()) == told

    def test_a_host_that_does_not_tell_what_its_user_set_is_said_to_be_one(self) -> None:
        told = attach(plan_of(container()), self.known).configurations[0]
        assert len(told.changes) == 2
        assert "not told by its host" in told.unknown

    @pytest.mark.parametrize("changes", [{"digests": ()}, {"platform": ""}])
    def test_where_it_is_not_known_what_runs_that_is_said(self, changes: dict[str, Any]) -> None:
        told = attach(plan_of(container(own=("Config.User",), **changes)), self.known).configurations[0]
        assert (told.changes, told.kept) == ((), ("Config.User",))
        assert told.unknown.startswith("which image it runs is not known")

    def test_an_image_that_cannot_be_looked_at_is_named_with_the_reason(self) -> None:
        told = attach(plan_of(container(own=())), {**self.known, AFTER: Unreadable("401")}).configurations[0]
        assert told.unknown == f"the centre cannot look at nginx@{NEW[:19]}: 401"

    @pytest.mark.parametrize(("window_s", "spent"), [(3600, {"registry-1.docker.io"}), (60, set())])
    def test_a_registry_is_spared_only_while_its_nearly_used_up_limit_lasts(
        self, db: Database, monkeypatch: pytest.MonkeyPatch, window_s: int, spent: set[str]
    ) -> None:
        record_limit(db, "https://registry-1.docker.io", 100, 1, window_s, "10.0.0.1")
        soon = db.now() + timedelta(minutes=2)
        monkeypatch.setattr(Database, "now", lambda _: soon)
        told: list[set[str]] = []

        class Spared(ImageConfigs):
            def look(self, wanted: Any, asking: Any, *, spent: Any = ()) -> Any:
                told.append(set(spent))
                return dict.fromkeys(wanted, Unreadable("not asked"))

        with_foresight(db, plan_of(container(own=())), Spared(), NOBODY)
        assert told == [spent]
