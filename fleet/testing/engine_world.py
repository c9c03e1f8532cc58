"""The inside of the in-memory engine: containers, volumes and networks, and the rules by which they change.

No faults and no log here. Everything that takes time happens when somebody next looks (``settle``).
"""

import itertools
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from hashlib import sha256
from typing import Any

from fleet.clock import Clock
from fleet.engine.protocol import CreateSpec
from fleet.errors import EngineError
from fleet.testing.engine_containers import SHORT_ID, MemoryContainer
from fleet.testing.engine_images import ImageStore
from fleet.testing.engine_merge import host_config, merged_config, mounts

BACKOFF_S = 0.1
"""What the engine waits before the first restart, and twice as long before each further one (moby, restartmanager)."""
LONGEST_BACKOFF_S = 60.0
_OWN_NETWORKS = ("bridge", "host", "none")
_ALL_AT_ONCE = (1, 44)


class World:
    """All that an engine holds."""

    def __init__(self, clock: Clock, api_version: str, name: str, tell: Callable[..., None]) -> None:
        """Hold nothing but Docker's own networks; *tell* is given (action, container) of each change."""
        self.clock, self.api_version, self.engine_name, self._tell = clock, api_version, name, tell
        self.images = ImageStore()
        self.containers: dict[str, MemoryContainer] = {}
        self.volumes: dict[str, dict[str, str]] = {}
        """Volume name -> file name -> content."""
        self.networks: dict[str, str] = {name: _digits(f"network {name}") for name in _OWN_NETWORKS}
        self.removal_takes_s = 0.0
        """How long the engine takes to remove a ``--rm`` container that ended."""
        self._counter = itertools.count(1)
        self._late: list[tuple[float, Callable[[], object]]] = []

    def later(self, seconds: float, effect: Callable[[], object]) -> None:
        """Let *effect* take place in *seconds*."""
        self._late.append((self.clock.monotonic() + seconds, effect))

    def settle(self) -> None:
        """Let all that was due by now have happened, in its order."""
        now = self.clock.monotonic()
        for due in sorted((row for row in self._late if row[0] <= now), key=lambda row: row[0]):
            self._late.remove(due)
            _quietly(due[1])
        for container in list(self.containers.values()):
            self._settle_one(container, now)

    def find(self, container: str) -> MemoryContainer | None:
        """Return a container by id, name, or a prefix of its id, in this order, as the engine does."""
        if container in self.containers:
            return self.containers[container]
        named = [one for one in self.containers.values() if one.name == container.lstrip("/")]
        begun = [one for one in self.containers.values() if container and one.id.startswith(container)]
        return named[0] if named else begun[0] if len(begun) == 1 else None

    def must(self, container: str, doing: str) -> MemoryContainer:
        """Return a container, or raise EngineError 404."""
        found = self.find(container)
        if found is None:
            raise EngineError(f"cannot {doing} container {container}: No such container: {container}", status=404)
        return found

    def create(self, spec: CreateSpec) -> str:
        """Create a container; a network that cannot be connected takes it away again."""
        image = self.images.find(str(spec.body["Image"]))
        if image is None:
            raise EngineError(f"cannot create container {spec.name}: No such image: {spec.body['Image']}", status=404)
        self._check_name(spec.name, f"create container {spec.name}")
        host, config = host_config(spec.body), merged_config(spec.body, image.config)
        endpoints = self._endpoints(spec, host)
        number = next(self._counter)
        made = MemoryContainer(
            id=_digits(f"container {number}"),
            name=spec.name,
            created_at=self.clock.now(),
            image_id=image.id,
            config=config,
            host=host,
            mounts=[],
            endpoints={},
            behaviour=image.behaviour,
        )
        self._place(made, host, endpoints)
        made.mounts = mounts(config, host, self._lent(host), lambda: self._nameless(made))
        for mount in made.mounts:
            if mount["Type"] == "volume":
                self.volumes.setdefault(mount["Name"], {})
        self.containers[made.id] = made
        for network, endpoint in endpoints.items():
            self._join(made, network, endpoint)
        self._tell("create", made)
        return made.id

    def start(self, made: MemoryContainer) -> None:
        """Start a container; already running is a success."""
        if made.gone_at is not None:
            raise EngineError(f"cannot start container {made.name}: container is marked for removal", status=409)
        if made.running:
            return
        self._check_start(made)
        made.restarts, made.stopped_by_hand = 0, False
        self._run(made)

    def stop(self, made: MemoryContainer, run: int, killed: bool) -> None:
        """End that *run* of a container; another one is left alone."""
        if made.run != run or not (made.running or made.restart_due is not None):
            return
        made.stopped_by_hand, made.restart_due = True, None
        self._end(made, 137 if killed else made.behaviour.exit_code, self.clock.monotonic())
        self._tell("stop", made)

    def rename(self, made: MemoryContainer, name: str) -> None:
        """Give a container another name."""
        self._check_name(name, f"rename container {made.name} to {name}")
        made.name = name
        self._tell("rename", made)

    def remove(self, made: MemoryContainer, *, force: bool) -> None:
        """Remove a container; its volumes stay."""
        if made.running and not force:
            told = f"cannot remove container {made.name}: You cannot remove a running container {made.id}"
            raise EngineError(told, status=409)
        if made.running:
            self._end(made, 137, self.clock.monotonic())
        self._drop(made)

    def restart(self) -> None:
        """Kill the engine with all containers, and start it again: it then follows the restart policies."""
        for made in [one for one in self.containers.values() if one.running]:
            made.running, made.exit_code, made.finished_at = False, 137, self.clock.now()
            _forget_addresses(made)
        for made in list(self.containers.values()):
            if made.wants_start_with_engine():
                made.restart_due = None
                _quietly(partial(self._restarted, made))
            elif made.host["AutoRemove"] or made.gone_at is not None:
                self._drop_with_volumes(made)
        self._late.clear()
        self.settle()

    def _restarted(self, made: MemoryContainer) -> None:
        self._check_start(made)
        self._run(made)

    def _run(self, made: MemoryContainer) -> None:
        made.running, made.paused, made.restart_due, made.error = True, False, None, ""
        made.run, made.started, made.started_at = next(self._counter), self.clock.monotonic(), self.clock.now()
        for network, endpoint in made.endpoints.items():
            if network not in ("host", "none"):
                self._address(made, network, endpoint)
        self._tell("start", made)

    def _settle_one(self, made: MemoryContainer, now: float) -> None:
        if made.gone_at is not None and made.gone_at <= now:
            self._drop_with_volumes(made)
        while made.id in self.containers:
            ends = made.behaviour.exits_after_s
            if made.running and ends is not None and made.started + ends <= now:
                self._end(made, made.behaviour.exit_code, made.started + ends)
            elif made.restart_due is not None and made.restart_due <= now:
                due, made.restart_due = made.restart_due, None
                made.restarts += 1
                self._run(made)
                made.started = due
            else:
                return

    def _end(self, made: MemoryContainer, code: int, at: float) -> None:
        made.running, made.exit_code, made.finished_at = False, code, self.clock.now()
        _forget_addresses(made)
        self._tell("die", made)
        if made.wants_restart():
            made.restart_due = at + min(LONGEST_BACKOFF_S, BACKOFF_S * 2**made.restarts)
        elif made.host["AutoRemove"]:
            made.gone_at = at + self.removal_takes_s
            if self.removal_takes_s == 0:
                self._drop_with_volumes(made)

    def _drop(self, made: MemoryContainer) -> None:
        if self.containers.pop(made.id, None) is not None:  # a ``--rm`` one that is removed by force goes with its end
            self._tell("destroy", made)

    def _drop_with_volumes(self, made: MemoryContainer) -> None:
        """Remove a container with its anonymous volumes, except those that another container holds."""
        self._drop(made)
        held = {mount.get("Name") for one in self.containers.values() for mount in one.mounts}
        for volume in made.nameless - held:
            self.volumes.pop(volume, None)

    def _check_name(self, name: str, doing: str) -> None:
        taken = [one for one in self.containers.values() if one.name == name]
        if taken:
            told = f'Conflict. The container name "/{name}" is already in use by container "{taken[0].id}"'
            raise EngineError(f"cannot {doing}: {told}", status=409)

    def _check_start(self, made: MemoryContainer) -> None:
        trouble, status = made.behaviour.start_error, 400
        for named in made.lives_in:
            peer = self.find(named)
            if peer is None or not peer.running:
                trouble, status = f"cannot join the namespace of a non running container: {named}", 409
        for network in made.endpoints:
            if network not in self.networks:
                trouble, status = f"network {network} not found", 404
        for other in [one for one in self.containers.values() if one.running and one is not made]:
            if made.published & other.published:
                trouble, status = "driver failed programming external connectivity: port is already allocated", 500
            if _static(made) & _static(other):
                trouble, status = "Address already in use", 403
        if trouble:
            made.error, made.exit_code = trouble, 127
            raise EngineError(f"cannot start container {made.name}: {trouble}", status=status)

    def _endpoints(self, spec: CreateSpec, host: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return network -> endpoint of *spec*; raise EngineError as the API version does."""
        doing, mode = f"create container {spec.name}", str(host["NetworkMode"])
        given = dict((spec.body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {})
        if len(given) > 1 and _version(self.api_version) < _ALL_AT_ONCE:
            told = f"Container cannot be connected to network endpoints: {', '.join(sorted(given))}"
            raise EngineError(f"cannot {doing}: {told}", status=400)
        if not given and not mode.startswith("container:"):
            given.setdefault("bridge" if mode == "default" else mode, {})
        return {network: dict(endpoint or {}) for network, endpoint in [*given.items(), *spec.connect]}

    def _place(self, made: MemoryContainer, host: dict[str, Any], endpoints: Mapping[str, Mapping[str, Any]]) -> None:
        """Give the container its hostname, and turn what names another container into its id."""
        for field in ("NetworkMode", "PidMode", "IpcMode"):
            mode = str(host.get(field) or "")
            if mode.startswith("container:"):
                peer = self.must(mode.removeprefix("container:"), "join the namespace of")
                host[field] = f"container:{peer.id}"
        given = self.engine_name if host["NetworkMode"] == "host" else made.id[:SHORT_ID]
        for network, endpoint in endpoints.items():
            if network == host["NetworkMode"] and endpoint.get("MacAddress"):
                made.config["MacAddress"] = endpoint["MacAddress"]
        made.config["Hostname"] = made.config.get("Hostname") or given
        made.config.setdefault("Domainname", "")

    def _join(self, made: MemoryContainer, network: str, endpoint: Mapping[str, Any]) -> None:
        aliases = list(endpoint.get("Aliases") or ())
        if network not in _OWN_NETWORKS and _version(self.api_version) < _ALL_AT_ONCE:
            aliases.append(made.id[:SHORT_ID])
        made.endpoints[network] = {
            "IPAMConfig": deepcopy(endpoint.get("IPAMConfig")),
            "Links": list(endpoint.get("Links") or ()) or None,
            "Aliases": aliases or None,
            "DriverOpts": deepcopy(endpoint.get("DriverOpts")),
            "GwPriority": endpoint.get("GwPriority") or 0,
            "NetworkID": self.networks.get(network, ""),
            "IPAddress": "",
            "MacAddress": str(endpoint.get("MacAddress") or ""),
        }

    def _address(self, made: MemoryContainer, network: str, endpoint: dict[str, Any]) -> None:
        wished = (endpoint.get("IPAMConfig") or {}).get("IPv4Address")
        low = made.run % 250 + 2
        subnet = int(_digits(f"network {network}")[:2], 16)
        endpoint["IPAddress"] = wished or f"172.{subnet}.{made.run // 250 % 250}.{low}"
        derived = "02:42:" + ":".join(f"{int(part):02x}" for part in endpoint["IPAddress"].split("."))
        endpoint["MacAddress"] = endpoint["MacAddress"] or derived

    def _lent(self, host: Mapping[str, Any]) -> list[dict[str, Any]]:
        lenders = [self.must(entry.partition(":")[0], "take volumes from") for entry in host.get("VolumesFrom") or ()]
        return [mount for lender in lenders for mount in lender.mounts]

    def _nameless(self, made: MemoryContainer) -> str:
        name = _digits(f"volume {next(self._counter)}")
        made.nameless.add(name)
        return name


def _forget_addresses(made: MemoryContainer) -> None:
    for endpoint in made.endpoints.values():
        if endpoint["MacAddress"].startswith("02:42:"):
            endpoint["MacAddress"] = ""
        endpoint["IPAddress"] = ""


def _static(made: MemoryContainer) -> set[tuple[str, str]]:
    rows = ((name, (row.get("IPAMConfig") or {}).get("IPv4Address")) for name, row in made.endpoints.items())
    return {(name, address) for name, address in rows if address}


def _quietly(effect: Callable[[], object]) -> None:
    """Let *effect* take place for nobody who would hear its error."""
    try:
        effect()
    except EngineError:
        return


def _version(api_version: str) -> tuple[int, int]:
    major, _, minor = api_version.partition(".")
    return int(major), int(minor)


def _digits(seed: str) -> str:
    return sha256(seed.encode()).hexdigest()
