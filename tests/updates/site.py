"""One host for tests: an engine in memory, a journal, a container and a newer image of it; and the promise itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from fleet.engine.protocol import Inspect
from fleet.engine.spec import shares_with
from fleet.errors import EngineError, EngineUnreachable
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.testing.clock import ManualClock
from fleet.testing.engine import MemoryEngine
from fleet.testing.engine_containers import MemoryContainer
from fleet.testing.engine_faults import KillNow
from fleet.testing.engine_images import STEADY, Behaviour
from fleet.updates.command import LooseFiles, Policy, Target, UpdateOrder, VerifyPolicy
from fleet.updates.execute import recover, recreate_target
from fleet.updates.journal import Journal
from fleet.updates.outcome import PullOutcome, Result, Tier, UpdateOutcome

COMMAND = UUID("0199a5a4-0000-7000-8000-000000000001")
UPDATE = UUID("0199a5a4-0000-7000-8000-000000000002")
PULL = UUID("0199a5a4-0000-7000-8000-000000000003")
DIGEST = Digest.of(b"new")
PROBE = {"Test": ["CMD", "probe"], "Interval": 10**9, "Timeout": 10**9, "Retries": 2}
LIVES = 6
"""How often the agent is started again before a test gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A container, and how the old and the new image behave."""

    body: Mapping[str, Any] = field(default_factory=dict)
    old: Behaviour = STEADY
    new: Behaviour = STEADY
    old_config: Mapping[str, Any] = field(default_factory=dict)
    new_config: Mapping[str, Any] = field(default_factory=dict)
    policy: Policy = field(default_factory=lambda: Policy(verify=VerifyPolicy(settle_ms=2_000, deadline_ms=10_000)))
    api_version: str = "1.45"
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What stands in the old container's writable layer alone."""
    removal_takes_s: float = 0.0
    kids: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name -> create body of the containers that live with it."""
    good: bool = True
    """Whether the new image can be verified at all."""


def restart(name: str) -> dict[str, Any]:
    """Return a HostConfig with that restart policy."""
    return {"HostConfig": {"RestartPolicy": {"Name": name, "MaximumRetryCount": 0}}}


def lives_in(kind: str, other: str, policy: str = "always") -> dict[str, Any]:
    """Return the body of a container in another one's namespace."""
    return {"HostConfig": {f"{kind}Mode": f"container:{other}", "RestartPolicy": {"Name": policy}}}


DATA: Mapping[str, Any] = {"Volumes": {"/data": {}}}
START_FIRST: dict[str, Any] = {"Labels": {"fleet.update.order": "start-first"}}
SHAPES: dict[str, Shape] = {
    "plain": Shape(),
    "always, anonymous data": Shape(body=restart("always"), old_config=DATA, new_config=DATA),
    "unless-stopped, probed": Shape(body=restart("unless-stopped") | {"Healthcheck": PROBE}),
    "on-failure, slow to stop": Shape(body=restart("on-failure"), old=Behaviour(stop_takes_s=5)),
    "ports, static address": Shape(
        body={
            "HostConfig": {
                "NetworkMode": "back",
                "RestartPolicy": {"Name": "always"},
                "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
            },
            "NetworkingConfig": {"EndpointsConfig": {"back": {"IPAMConfig": {"IPv4Address": "10.9.0.7"}}}},
        }
    ),
    "two networks on an old engine": Shape(body=restart("always"), api_version="1.41"),
    "rm, anonymous data": Shape(
        body={"HostConfig": {"AutoRemove": True}}, old_config=DATA, new_config=DATA, removal_takes_s=0.5
    ),
    "rm, slow to stop": Shape(
        body={"HostConfig": {"AutoRemove": True}}, old_config=DATA, new_config=DATA, old=Behaviour(stop_takes_s=5)
    ),
    "an unhealthy old one": Shape(
        body=restart("always") | {"Healthcheck": PROBE}, old=Behaviour(health="unhealthy", health_after_s=0)
    ),
    "the old image goes": Shape(
        body=restart("always"),
        policy=Policy(verify=VerifyPolicy(settle_ms=1_000), remove_old_image=True, keep_images=0),
    ),
    "the old image is kept": Shape(
        body=restart("always"), policy=Policy(verify=VerifyPolicy(settle_ms=1_000), remove_old_image=True)
    ),
    "files copied": Shape(
        body=restart("always"),
        policy=Policy(verify=VerifyPolicy(settle_ms=1_000), loose_files=LooseFiles.COPY),
        files={"/etc/app.conf": b"mine", "/srv/list": b"1"},
    ),
    "who lives in its network goes with it": Shape(body=restart("always"), kids={"kid": lives_in("Network", "web")}),
    "three that live with it, one of them at second hand": Shape(
        body=restart("unless-stopped") | {"Healthcheck": PROBE},
        kids={
            "kid": lives_in("Network", "web", "unless-stopped"),
            "watcher": lives_in("Pid", "kid", "on-failure"),
            "linked": {"HostConfig": {"Links": ["web:backend"], "RestartPolicy": {"Name": "always"}}},
        },
        old=Behaviour(stop_takes_s=3),
    ),
    "a kid whose new one cannot start with it": Shape(
        body=restart("always"),
        kids={"kid": lives_in("Ipc", "web") | {"Image": "broken:1"}},
        good=False,
    ),
    "a kid whose tag has moved since": Shape(
        body=restart("always"), kids={"kid": lives_in("Network", "web") | {"Image": "moved:1"}}
    ),
    "a new one that exits, with a kid": Shape(
        body=restart("always"),
        new=Behaviour(exits_after_s=0.7, exit_code=3),
        kids={"kid": lives_in("Network", "web")},
        good=False,
    ),
    "hooks before and after": Shape(
        body=restart("always") | {"Labels": {"fleet.hook.pre-update": "save", "fleet.hook.post-update": "warm"}},
        policy=Policy(verify=VerifyPolicy(settle_ms=1_000), hooks=True),
    ),
    "start first": Shape(body=restart("always") | START_FIRST, old=Behaviour(stop_takes_s=5)),
    "start first, data that both may write": Shape(
        body=restart("unless-stopped") | {"Labels": {"fleet.update.volumes": "shared"}} | {"Healthcheck": PROBE},
        old_config=DATA,
        new_config=DATA,
        policy=Policy(verify=VerifyPolicy(settle_ms=1_000), order=UpdateOrder.START_FIRST),
    ),
    "start first, rm": Shape(body={"HostConfig": {"AutoRemove": True}} | START_FIRST, removal_takes_s=0.5),
    "start first, an alias on an old engine": Shape(body=restart("on-failure") | START_FIRST, api_version="1.41"),
    "start first, a new one that gets unhealthy": Shape(
        body=restart("always") | {"Healthcheck": PROBE} | START_FIRST, new=Behaviour(health="unhealthy"), good=False
    ),
    "start first, a new one that exits": Shape(
        body=restart("no") | START_FIRST, new=Behaviour(exits_after_s=0.7, exit_code=3), good=False
    ),
    "start first, rm, a new one that cannot start": Shape(
        body={"HostConfig": {"AutoRemove": True}} | START_FIRST, new=Behaviour(start_error="no"), good=False
    ),
    "a new one that gets unhealthy": Shape(
        body=restart("always") | {"Healthcheck": PROBE}, new=Behaviour(health="unhealthy"), good=False
    ),
    "a new one that exits": Shape(body=restart("always"), new=Behaviour(exits_after_s=0.7, exit_code=3), good=False),
    "a new one that cannot start": Shape(
        body=restart("unless-stopped"), old_config=DATA, new=Behaviour(start_error="exec: not found"), good=False
    ),
    "rm, a new one that gets unhealthy": Shape(
        body={"HostConfig": {"AutoRemove": True}, "Healthcheck": PROBE},
        old_config=DATA,
        new=Behaviour(health="unhealthy"),
        good=False,
    ),
    "rm, a new one that cannot start": Shape(
        body={"HostConfig": {"AutoRemove": True}}, old_config=DATA, new=Behaviour(start_error="no"), good=False
    ),
}


class Site:
    """A host whose one agent may be killed and started again."""

    def __init__(
        self,
        path: Path,
        shape: Shape | None = None,
        *,
        journal: Callable[[Path], Journal] = Journal,
        clock: ManualClock | None = None,
    ) -> None:
        """Run the container ``web`` of *shape*, with data, and have its newer image there."""
        self.shape = shape or SHAPES["always, anonymous data"]
        self.path = path / "journal"
        self.open = journal
        self.clock = clock or ManualClock()
        self.engine = MemoryEngine(self.clock, api_version=self.shape.api_version)
        self.engine.world.removal_takes_s = self.shape.removal_takes_s
        self.engine.add_network("back")
        self.engine.add_network("front")
        self.old_image = self.engine.add_image("app:1", behaviour=self.shape.old, **self.shape.old_config).id
        self.engine.add_image("other:1")
        self.engine.run("bystander", "other:1", **restart("always"))
        self.old_id = self.engine.run("web", "app:1", **self.shape.body)
        for kid, body in self.shape.kids.items():
            image = str(body.get("Image", "other:1"))
            made = self.engine.add_image(image) if image != "other:1" else None
            self.engine.run(kid, image, **{key: value for key, value in body.items() if key != "Image"})
            if made is not None and image == "broken:1":
                made.behaviour = Behaviour(start_error="no such device")
            elif made is not None:
                self.engine.add_image(image)
        if self.shape.api_version == "1.41":
            self.engine.world._join(self.engine.world.containers[self.old_id], "front", {"Aliases": ["www"]})
        self.engine.world.containers[self.old_id].files.update(self.shape.files)
        self.clock.advance(60)
        for volume in self._volumes(self.engine.running()["web"]):
            self.engine.world.volumes[volume]["kept"] = "precious"
        self.before = self.engine.running()["web"]
        self.kids_before = {name: self.engine.running()[name] for name in self.shape.kids}
        new = self.engine.add_image("app:1", behaviour=self.shape.new, digest=str(DIGEST), **self.shape.new_config)
        self.new_image = new.id
        self.deaths = 0
        self.data_lost_by_engine = False
        self.down_before_it_began = False
        """Whether the engine was restarted before anything was written down, and left the container ended."""
        self.gaps: list[str] = []

    @property
    def target(self) -> Target:
        """What the centre ordered."""
        return Target(
            update_id=UPDATE,
            container_id=self.old_id,
            container="web",
            image_id=self.old_image,
            reference=Reference.parse("app:1"),
            digest=DIGEST,
        )

    @property
    def pull(self) -> PullOutcome:
        """What came of the pull."""
        return PullOutcome(
            pull_id=PULL,
            reference=f"docker.io/library/app:1@{DIGEST}",
            digest=str(DIGEST),
            ok=True,
            tier=Tier.PRESENT,
            image_id=self.new_image,
        )

    def update(self) -> UpdateOutcome:
        """Carry the update out, once."""
        return recreate_target(
            self.engine,
            self.open(self.path),
            self.target,
            self.shape.policy,
            self.pull,
            command_id=COMMAND,
            clock=self.clock,
        )

    def watch_for_gaps(self) -> None:
        """Note in ``gaps``, from now on, each end of a program after which none of ``web`` runs."""
        tell, running = self.engine.world._tell, self.engine.world.containers

        def told(action: str, made: MemoryContainer) -> None:
            if action == "die" and not any(one.running for one in running.values() if one.name.startswith("web")):
                self.gaps.append(made.name)
            tell(action, made)

        self.engine.world._tell = told

    def live(self, *, reboot: bool = False) -> UpdateOutcome:
        """Let agents live one after the other until one has the outcome; return it.

        As the agent does: first what is in flight, then the order, unless its outcome is known. With *reboot* the
        engine is restarted after every death.
        """
        for _ in range(LIVES):
            try:
                known = [outcome for _, outcome in recover(self.engine, self.open(self.path), self.clock)]
                return known[0] if known else self.update()
            except KillNow:
                self.deaths += 1
                if reboot:
                    self._reboot()
            except EngineUnreachable:
                continue
        raise AssertionError("no agent came to an end")

    def _reboot(self) -> None:
        """Restart the engine, unless the update has its end: what the engine then does is no more of Fleet's.

        It removes every ``--rm`` container that does not run, with the data that no other one holds.
        """
        known = Journal(self.path).update(UPDATE)
        if known is not None and known.outcome is not None:
            return
        before = set(self.engine.world.volumes)
        self.engine.restart()
        self.data_lost_by_engine = self.data_lost_by_engine or set(self.engine.world.volumes) != before
        self.down_before_it_began |= known is None and "web" not in self.engine.running()

    def assert_promise(self, outcome: UpdateOutcome) -> None:
        """Assert that exactly one of the two runs, as it should, and that the outcome says which.

        A container that the engine itself did not start again, before the update was begun, is not Fleet's to start.
        """
        self.clock.advance(60)
        running, told = self.engine.running(), f"{outcome.result}: {outcome.reason}; {self.engine.names()}"
        if self.down_before_it_began:
            assert outcome.result in (Result.SKIPPED, Result.FAILED), told
            assert set(running) <= {"bystander", *self.shape.kids}, told
            assert self.before["HostConfig"]["RestartPolicy"]["Name"] == "no"
            return
        assert set(running) == {"web", "bystander", *self.shape.kids}, told
        self._assert_kids_live(running)
        web = running["web"]
        expected = self.new_image if outcome.result is Result.UPDATED else self.old_image
        assert web["Image"] == expected, told
        assert web["Config"]["Image"] == "app:1"
        assert web["HostConfig"]["RestartPolicy"] == self.before["HostConfig"]["RestartPolicy"], told
        places = {mount["Destination"] for mount in web["Mounts"]}
        assert places >= {mount["Destination"] for mount in self.before["Mounts"]}
        assert set(self._volumes(web)) >= set(self._volumes(self.before)), told
        for volume in [] if self.data_lost_by_engine else self._volumes(self.before):
            assert self.engine.world.volumes[volume] == {"kept": "precious"}, told
        assert set(web["NetworkSettings"]["Networks"]) == set(self.before["NetworkSettings"]["Networks"])
        assert outcome.result is not Result.ROLLBACK_FAILED, told
        # What the engine removed with its stop (--rm) can be made again from the journal, but not its loose files.
        made_again = outcome.result is not Result.UPDATED and self.before["HostConfig"]["AutoRemove"]
        if self.shape.policy.loose_files is LooseFiles.COPY and not made_again:
            assert self.engine.world.must("web", "read").files == self.shape.files, told

    def _assert_kids_live(self, running: Mapping[str, Inspect]) -> None:
        """Assert that each lives in what runs now, was started after that, and is what it was."""
        world = self.engine.world
        for name, before in self.kids_before.items():
            kid = running[name]
            now, then = list(running.values()), [self.before, *self.kids_before.values()]
            (lender,) = (other for other in now if shares_with(kid, other))
            (was,) = (other for other in then if shares_with(before, other))
            assert lender["Name"] == was["Name"]
            assert world.containers[kid["Id"]].run > world.containers[lender["Id"]].run, f"{name} outlived its lender"
            assert (kid["Image"], kid["Config"]["Image"]) == (before["Image"], before["Config"]["Image"])
            assert kid["HostConfig"]["RestartPolicy"] == before["HostConfig"]["RestartPolicy"]

    def assert_tidy(self) -> None:
        """Assert that no further container is there once an agent has started again."""
        recover(self.engine, self.open(self.path), self.clock)
        assert set(self.engine.names()) <= {"bystander", "web", *self.shape.kids}
        assert self.open(self.path).leftovers() == []

    def assert_told_once(self, outcome: UpdateOutcome) -> None:
        """Assert that every later agent tells the same outcome, until it is taken over, and none after that."""
        again = [told.result for _, told in recover(self.engine, self.open(self.path), self.clock)]
        assert again in ([outcome.result], []), f"{outcome} became {again}"
        self.open(self.path).forget(UPDATE)
        assert recover(self.engine, self.open(self.path), self.clock) == []

    def assert_outlives_a_reboot(self) -> None:
        """Assert that an engine that is restarted runs the same one, where the policy has it run at all."""
        before = self.engine.running()["web"]["Id"]
        self.engine.restart()
        self.clock.advance(60)
        policy = self.before["HostConfig"]["RestartPolicy"]["Name"]
        now = {name: found["Id"] for name, found in self.engine.running().items() if name == "web"}
        assert now in ({"web": before}, {}) if policy in ("no", "on-failure") else now == {"web": before}

    @staticmethod
    def _volumes(inspect: Mapping[str, Any]) -> list[str]:
        return [mount["Name"] for mount in inspect["Mounts"] if mount["Type"] == "volume"]


def engine_says_no() -> EngineError:
    """Return the error of an engine that answered 500."""
    return EngineError("cannot do that: an internal error", status=500)
