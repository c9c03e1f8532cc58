"""A fleet of real parts, small enough for a test run: two engines, registries, Redis, PostgreSQL, the centre, agents."""

import itertools
import json
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.images.digest import Digest
from tests.lab.centre import Centre
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Host, Lab
from tests.lab.machines import Running, eventually
from tests.lab.registries import DockerRegistry, Registry, ScriptableRegistry

HARBOUR = "harbour.example"
PATIENCE_S = 240.0
"""How long anything is waited for: long, since other labs may share the machine."""
API_PORT = 8443
_MORTAL = Path(__file__).with_name("mortal_agent.py")
_KEPT_READY = 4
"""How many containers are begun together, so that one snapshot tells of all of them."""
_SETTINGS = {
    "FLEET_LISTEN": f"0.0.0.0:{API_PORT}",
    "FLEET_CHECK_EVERY_S": "2",
    "FLEET_INBOX_RETRY_S": "2",
    "FLEET_PLANNER_RECONCILE_S": "2",
}
HEARTBEATS = {"FLEET_AGENT_HEARTBEAT_S": "1"}


def start_mortal_agent(centre: Centre, host: Host, **environment: str) -> Running:
    """Start the agent of *host*; one that can be told to die."""
    folder = host.machine.folder
    state = {"FLEET_STATE_DIR": str(folder / "agent"), "FLEET_TEST_DEATH": str(_death(host)), **HEARTBEATS}
    agent = host.machine.start("agent", sys.executable, _MORTAL, folder / "host.join", environment=state | environment)
    centre.agents[host.name] = agent
    return agent


def doom(host: Host, write: str) -> None:
    """Let the agent of *host* kill itself right after the next write *write* of its journal."""
    _death(host).write_text(write)


def _death(host: Host) -> Path:
    return host.machine.folder / "death"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One container of a host, and the image that it follows."""

    fleet: "SmallFleet"
    host: Host
    registry: Registry
    name: str
    repository: str
    reference: str

    def push(self, recipe: Recipe) -> Digest:
        """Push a newer image under the tag that the container follows."""
        return self.registry.push(self.repository, "1", recipe)

    def version(self) -> str:
        """Return the version that runs; empty where the container does not run."""
        template = '{{.State.Running}} {{index .Config.Labels "org.opencontainers.image.version"}}'
        running, _, version = self.host.docker("inspect", "--format", template, self.name, check=False).partition(" ")
        return version if running == "true" else ""

    def names(self) -> list[str]:
        """Return the names of its containers: one, unless something was left behind."""
        found = self.host.docker("ps", "--all", "--filter", f"name=^{self.name}", "--format", "{{.Names}}")
        return found.split()

    def count(self, action: str) -> int:
        """Return how often its containers were created or started since the first was, by the engine's own events."""
        query = ("--since", "0", "--until", str(int(self.fleet.now()) + 1), "--filter", "type=container")
        text = self.host.docker("events", *query, "--filter", f"event={action}", "--format", "{{json .}}")
        told = [json.loads(line)["Actor"]["Attributes"]["name"] for line in text.splitlines()]
        return len([name for name in told if name == self.name or name.startswith(f"{self.name}.fleet-")])

    def results(self) -> list[str]:
        """Return the results that SQL has of it, oldest first."""
        return self.ask("select u.result from updates u where true order by u.id")

    def ask(self, sql: str) -> list[str]:
        """Return the rows of a query over its updates, ``u``."""
        mine = f"u.container = '{self.name}' and u.host_id = (select id from hosts where name = '{self.host.name}')"
        return self.fleet.database.ask(sql.replace("where true", f"where {mine}")).splitlines()

    def order(self) -> str:
        """Let a person order its update, and return the rollout."""
        told = self.fleet.centre.ask("update", self.host.name, self.name, "--detach")
        assert told["rollout_id"], told
        return str(told["rollout_id"])

    def update(self) -> str:
        """Let a person order its update; return how the rollout ended."""
        return self.fleet.ended(self.order())

    def assert_updated_once(self, version: str) -> None:
        """Assert that it was made and started once more, that *version* runs, and that SQL has one row of it."""
        assert self.results() == ["updated"]
        assert self.ask(
            "select count(*) from commands where id in (select u.command_id from updates u where true)"
        ) == ["1"]
        assert self.version() == version
        assert self.names() == [self.name]
        assert self.count("create") == 2
        assert self.count("start") == 2


class SmallFleet:
    """The whole of it, as the tests of one session share it."""

    def __init__(self, lab: Lab) -> None:
        """Start everything, and wait until each agent was heard of."""
        self.lab = lab
        self._numbers = itertools.count(1)
        self._ready: dict[str, list[App]] = {}
        self.origin: DockerRegistry = lab.origin()
        self.harbour: ScriptableRegistry = lab.scriptable("harbour", (HARBOUR,), tls=True)
        self.redis, self.database = lab.redis(), lab.postgresql()
        self.oak = lab.host("oak", Generation.V20, wait=False)
        self.elm = lab.host("elm", Generation.V26_CONTAINERD, wait=False)
        lab.ready()
        self.centre = lab.centre(self.redis, self.database.url, **_SETTINGS)
        tls = lab.tls(self.centre.machine, ())
        files = {"FLEET_WEB_CERTIFICATE_FILE": str(tls.certificate), "FLEET_WEB_KEY_FILE": str(tls.key)}
        self.centre.machine.environment.update(files)
        self.centre.start()
        for host in (self.oak, self.elm):
            self.centre.add_host(host)
            self.start_agent(host)
        self.set_policy({"verify": {"settle_ms": 300}})
        self.await_hosts(self.oak, self.elm)

    def now(self) -> float:
        """Return the database's time, seconds since 1970."""
        return float(self.database.ask("select extract(epoch from now())"))

    # --- what people and machines do -------------------------------------------------------------------------------

    def start_agent(self, host: Host, **environment: str) -> Running:
        """Start the agent of *host*; one that can be told to die."""
        return start_mortal_agent(self.centre, host, **environment)

    def doom(self, host: Host, write: str) -> None:
        """Let the agent of *host* kill itself right after the next write *write* of its journal."""
        doom(host, write)

    def kill_agent(self, host: Host) -> None:
        """Kill the agent of *host*, as a power cut would."""
        self.centre.agents[host.name].kill()

    def await_death(self, host: Host) -> None:
        """Wait until the agent of *host* has killed itself."""
        agent = self.centre.agents[host.name]
        eventually(f"the death of the agent of {host.name}", lambda: not agent.alive(), within_s=PATIENCE_S)
        assert agent.wait() == 128 + signal.SIGKILL or agent.wait() == -signal.SIGKILL, agent.tail()

    def child(self, name: str) -> int:
        """Return the process id of one of the centre's processes; 0 while it does not run."""
        return self.centre.child(name)

    def set_policy(self, document: dict[str, Any], *subject: str) -> None:
        """Write the policy of the fleet, or of whom *subject* names."""
        file = self.lab.place.folder / "policy.json"
        file.write_text(json.dumps(document))
        self.centre.fleet("policy", "apply", "-f", file, *subject)

    def take(self, host: Host) -> App:
        """Return a container of version 1 on *host* that nobody has used yet, and that the centre knows.

        Its image is one of the harbour's, which does whatever it is told to.
        """
        ready = self._ready.setdefault(host.name, [])
        if not ready:
            names = [f"app-{next(self._numbers)}" for _ in range(_KEPT_READY)]
            ready += self.begin(host, names, registry=self.harbour, domain=HARBOUR)
        return ready.pop()

    def begin(
        self,
        host: Host,
        names: Sequence[str],
        *,
        registry: Registry | None = None,
        recipe: Recipe | None = None,
        domain: str = "",
        options: Sequence[str] = (),
    ) -> list[App]:
        """Run a container for each of *names*, of an image of its own, and wait until the centre knows them."""
        registry = registry or self.origin
        made = []
        for name in names:
            repository = f"team/{name}"
            reference = f"{domain}/{repository}:1" if domain else f"{repository}:1"
            app = App(fleet=self, host=host, registry=registry, name=name, repository=repository, reference=reference)
            app.push(recipe or Recipe(version="1", shares=name))
            made.append(app)

        def run(app: App) -> None:
            host.docker("pull", "--quiet", *options, app.reference)
            always = ("--restart", "unless-stopped")
            host.docker("run", "--detach", "--name", app.name, *always, *options, app.reference)

        with ThreadPoolExecutor() as pool:
            list(pool.map(run, made))
        self.await_known(made)
        return made

    # --- what is waited for ----------------------------------------------------------------------------------------

    def await_known(self, apps: Sequence[App]) -> None:
        """Wait until the centre has the present containers of *apps*, and what their tags are."""
        wanted = {
            (app.host.name, app.name, app.host.docker("inspect", "--format", "{{.Id}}", app.name)) for app in apps
        }
        images = {app.repository for app in apps}

        def known() -> bool:
            rows = self.database.ask("select h.name, c.name, c.id from containers c join hosts h on h.id = c.host_id")
            tags = self.database.ask("select image from tags where checked_at is not null")
            checked = {tag.split("/", 1)[1].rpartition(":")[0] for tag in tags.split()}
            return wanted <= {tuple(row.split("|")) for row in rows.splitlines()} and images <= checked

        eventually(f"{len(apps)} containers known to the centre", known, within_s=PATIENCE_S, every_s=0.5)

    def await_hosts(self, *hosts: Host) -> None:
        """Wait until the centre heard of *hosts*' agents."""
        wanted = {host.name for host in hosts}

        def heard() -> bool:
            rows = self.database.ask("select name from hosts where engine_id <> ''")
            return wanted <= set(rows.split())

        eventually(f"an agent on {', '.join(sorted(wanted))}", heard, within_s=PATIENCE_S, every_s=0.5)

    def await_state(self, rollout: str, state: str) -> None:
        """Wait until a command of *rollout* is in *state*."""
        sql = f"select state from commands where rollout_id = '{rollout}'"
        eventually(
            f"command {state}", lambda: state in self.database.ask(sql).split(), within_s=PATIENCE_S, every_s=0.1
        )

    def supervise(self) -> None:
        """Start the agents again that have ended, as systemd does: one whose broker stays silent ends to start afresh."""
        for host in (self.oak, self.elm):
            if not self.centre.agents[host.name].alive():
                self.start_agent(host)

    def ended(self, rollout: str, *, supervised: bool = False) -> str:
        """Wait until *rollout* is over, and return its state."""
        sql = f"select state from rollouts where id = '{rollout}' and ended_at is not null"

        def over() -> str:
            if supervised:
                self.supervise()
            return self.database.ask(sql)

        eventually("the end of the rollout", over, within_s=PATIENCE_S, every_s=0.25)
        return self.database.ask(sql)

    def logs(self) -> list[tuple[str, str]]:
        """Return the end of the log of each process of Fleet, with its name."""
        running = [one for one in (self.centre.controller, *self.centre.agents.values()) if one is not None]
        return [(str(one.log), one.tail(40)[-8000:]) for one in running]
