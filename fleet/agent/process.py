"""The process of the agent: one per host and state, reading its queue until SIGTERM."""

import fcntl
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from fleet.agent.agent import Agent, Tools
from fleet.agent.facts import Facts
from fleet.agent.identity import Identity, known
from fleet.clock import SystemClock
from fleet.engine.docker import connect
from fleet.engine.protocol import Engine
from fleet.errors import BadInput, Refused
from fleet.gateway.limits import Limits
from fleet.mirrors.daemon_flags import FlagFinder
from fleet.mirrors.hosts_credentials import HostsTomlCredentials
from fleet.mirrors.managed_hosts import ManagedHosts
from fleet.mirrors.sources import read_host_mirrors
from fleet.registry.credentials import DockerConfig
from fleet.road import worker
from fleet.road.join import JoinFile
from fleet.settings.agent import AgentSettings
from fleet.updates.known import KnownDigests
from fleet.updates.pull import Puller


def run(settings: AgentSettings) -> None:
    """Be the agent of this host until SIGTERM.

    Raise BadInput where the join file or the state cannot be used, Refused where another agent has the state, and
    BrokerUnreachable where the broker does not let this host read its queue.
    """
    if not settings.agent.manage_hosts_toml:
        with suppress(OSError):  # which another agent, with the right to write there, may have left when it was set
            ManagedHosts().remove_all()
    serve(_join(settings), settings.state_dir, tools_of(settings))


def _allow_files() -> None:
    """Take as many open files as the system allows: a pull through the gateway has dozens at a time."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def serve(join: JoinFile | None, state: Path, tools: Tools) -> None:
    """Be the agent of the host that *join* names; what must survive is kept in *state*.

    Without a join file, be who this host became at its first contact; raise BadInput where *state* does not say so.
    """
    _allow_files()
    with alone(state):
        identity = Identity(state, join)
        now = identity.current
        agent = Agent(identity, state, tools)
        agent.start()
        try:
            worker.run_host_worker(now.broker, now.host_id, agent.receive, on_ready=agent.reading)
        finally:
            agent.stop()


def _join(settings: AgentSettings) -> JoinFile | None:
    """Return the join file; None where it is gone, as it may be once this host has an identity of its own."""
    named = settings.agent.join_file
    if known(settings.state_dir) and (not named or not Path(named).exists()):
        return None
    return JoinFile.read(settings.join_file)


def tools_of(settings: AgentSettings) -> Tools:
    """Return what a real agent works with; raise BadInput where an address or Docker's configuration cannot be used."""
    clock = SystemClock()
    credentials = HostsTomlCredentials(DockerConfig.load(settings.docker_config_file))

    hosts = ManagedHosts() if settings.agent.manage_hosts_toml else None

    limits = Limits(spool_bytes=int(settings.agent.spool_gib * 1024**3))

    def pulls(engine: Engine, state: Path, known: KnownDigests, facts: Facts) -> Puller:
        return Puller(
            engine,
            state=state,
            known=known,
            host_mirrors=facts.mirrors,
            credentials=credentials,
            clock=clock,
            limits=limits,
            tell=facts.pulls_by_itself,
            hosts=hosts,
        )

    return Tools(
        connect=lambda: connect(settings.engine_url),
        pulls=pulls,
        credentials=credentials,
        read_mirrors=partial(read_host_mirrors, find_flags=FlagFinder(settings.engine_url, clock=clock)),
        clock=clock,
        heartbeat_s=settings.agent.heartbeat_s,
    )


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Make the folder *state* and keep every other agent out of it; raise Refused or BadInput."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state / "agent.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise BadInput(
            f"cannot use the state directory {state}: {error.strerror}; name another with --state or FLEET_STATE_DIR"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Refused(
            f"cannot run two agents in {state}: another one uses it; stop it, or name another place"
        ) from None
    finally:
        os.close(descriptor)
