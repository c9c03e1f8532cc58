"""docker-compose.yml brings a centre up for real, from nothing but images and a name, and an agent beside it updates containers."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab import debian
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import DOCKER_HUB, Host, Lab
from tests.lab.machines import eventually
from tests.lab.named_site import Site
from tests.lab.registries import DockerRegistry

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
CONTEXT = (
    "Dockerfile",
    ".dockerignore",
    "docker-compose.yml",
    "requirements.image.lock",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
LONG_RUNNING = {"agent", "beat", "broker", "controller", "database"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The compose project of a copy of this source, on one host."""

    host: Host
    folder: Path

    def compose(self, *arguments: str, timeout_s: float = 300, input: str | None = None) -> str:
        """Say one docker compose command, with the agent's profile, and return what it prints."""
        at: list[str | Path] = ["--project-directory", self.folder, "--profile", "agent", "--ansi", "never"]
        return self.host.machine.run("docker-compose", *at, *arguments, timeout_s=timeout_s, input=input).stdout

    def fleet(self, *arguments: str) -> str:
        """Say one fleet command inside the controller's container."""
        return self.compose("exec", "-T", "controller", "fleet", *arguments)

    def ask(self, *arguments: str) -> Any:
        """Say one fleet command and return its JSON."""
        return json.loads(self.fleet(*arguments, "-o", "json"))

    def inspect(self, service: str) -> Mapping[str, Any]:
        """Return what the engine says of a service's container."""
        name = self.compose("ps", "--all", "--format", "{{.Name}}", service).strip()
        found: Mapping[str, Any] = json.loads(self.host.docker("inspect", name))[0]
        return found


@pytest.fixture(scope="module")
def project(lab: Lab, origin: DockerRegistry) -> Iterator[Project]:
    """Build the image without any index, and bring the centre up, its images and name being all that is said."""
    Generation.V26.need()
    host = lab.host("compose", Generation.V26)
    debian.load(host)
    folder = host.machine.folder / "project"
    folder.mkdir()
    for name in CONTEXT:
        shutil.copy(ROOT / name, folder)
    for name in ("fleet", "migrations"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(debian.wheels(ROOT / "requirements.image.lock"), folder / "dist/wheels")
    for name in ("docker", "etc"):
        (folder / name).mkdir()
    said = {
        "BASE_IMAGE": debian.BASE,
        "POSTGRES_IMAGE": debian.POSTGRES,
        "REDIS_IMAGE": debian.REDIS,
        "FLEET_HOST": host.address,
        "FLEET_DOCKER_CONFIG": "./docker",
        "FLEET_ETC": "./etc",
    }
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in said.items()))
    # The agent's container has this machine's names but not its bundle of authorities; certs.d it reads as Docker does.
    for name in DOCKER_HUB:
        host.machine.write(f"/etc/docker/certs.d/{name}/ca.crt", lab.ca.read_text())
    project = Project(host=host, folder=folder)
    project.compose("build", "init", timeout_s=900)
    project.compose("up", "--detach", "--wait", *(LONG_RUNNING - {"agent"}), timeout_s=600)
    yield project
    print(project.compose("logs", "--no-color", "--tail", "100", "agent", "controller", "beat"))
    project.compose("down", "--volumes", "--timeout", "5")


@pytest.fixture(scope="module")
def joined(project: Project) -> Project:
    """Add the host itself by the command of the README, and start its agent."""
    join_file = project.folder / "host.join"
    join_file.touch(mode=0o600)
    join_file.write_text(project.fleet("host", "add", "here", "--label", "site=lab", "--out", "-"))
    project.compose("up", "--detach", "agent")
    eventually(
        "the agent's first word", lambda: project.ask("host", "ls")["hosts"][0]["state"] == "online", within_s=90
    )
    return project


def test_everything_runs_and_what_has_a_check_is_healthy(joined: Project) -> None:
    """Servers and processes are up; the two that are done ended well."""
    rows = [json.loads(row) for row in joined.compose("ps", "--all", "--format", "json").splitlines()]
    assert {row["Service"]: row["State"] for row in rows} == {
        **dict.fromkeys(LONG_RUNNING, "running"),
        "init": "exited",
        "migrate": "exited",
    }
    assert {row["Service"] for row in rows if row["Health"] == "healthy"} == {"broker", "controller", "database"}
    assert {row["ExitCode"] for row in rows} == {0}


def test_no_secret_stands_in_the_file_the_environment_or_a_command(joined: Project) -> None:
    """Passwords are in files of volumes alone, and nobody but their readers has those."""
    secrets = [
        joined.compose("exec", "-T", "controller", "cat", f"/run/fleet/centre/{name}").strip()
        for name in ("broker.password", "database.password")
    ]
    assert all(len(secret) > 30 for secret in secrets)
    told = [joined.compose("config"), *(json.dumps(joined.inspect(s)) for s in (*LONG_RUNNING, "init", "migrate"))]
    assert not any(secret in text for secret in secrets for text in told)
    holders = {
        service: {mount["Name"] for mount in joined.inspect(service)["Mounts"] if mount["Type"] == "volume"}
        for service in (*LONG_RUNNING, "init", "migrate")
    }
    assert {service for service, names in holders.items() if "fleet_authority" in names} == {"init"}
    assert {service for service, names in holders.items() if "fleet_broker-secrets" in names} == {"init", "broker"}
    assert not holders["agent"] & {"fleet_centre-secrets", "fleet_state"}


def test_the_processes_of_fleet_have_few_rights(joined: Project) -> None:
    """No capability but what a line of the file says, no new privileges, nothing to write but volumes and /tmp, no core files."""
    for service in ("controller", "beat", "agent", "migrate", "init"):
        config = joined.inspect(service)["HostConfig"]
        assert (config["ReadonlyRootfs"], config["Privileged"], config["CapDrop"]) == (True, False, ["ALL"])
        assert config["SecurityOpt"] == ["no-new-privileges:true"]
        assert config["Ulimits"] == [{"Name": "core", "Hard": 0, "Soft": 0}]
    assert joined.inspect("controller")["Config"]["User"] == "10001:10001"


def test_the_servers_keep_no_right_but_to_become_their_users(joined: Project) -> None:
    """Also when they start again, on volumes that are their users' by then; what they run as has no capability at all."""
    joined.compose("restart", "database", "broker")
    joined.compose("up", "--detach", "--wait", *(LONG_RUNNING - {"agent"}), timeout_s=300)
    for service in ("database", "broker"):
        config = joined.inspect(service)["HostConfig"]
        assert config["CapDrop"] == ["ALL"]
        assert {each.removeprefix("CAP_") for each in config["CapAdd"]} == {
            "CHOWN",
            "DAC_OVERRIDE",
            "FOWNER",
            "SETGID",
            "SETUID",
        }
        status = joined.compose("exec", "-T", service, "cat", "/proc/1/status")
        assert "CapEff:\t0000000000000000" in status
        assert "CapBnd:\t00000000000000cb" in status


def test_the_broker_is_closed_to_whoever_has_no_login(joined: Project) -> None:
    """Over TLS with the right authority an anonymous client gets NOAUTH, and plainly nothing at all."""
    tls = ["exec", "-T", "broker", "redis-cli", "--tls", "--cacert", "/run/fleet/broker/ca.crt", "keys", "*"]
    assert "NOAUTH" in joined.compose(*tls)
    plain = joined.host.machine.run(
        "docker-compose", "--project-directory", joined.folder, "exec", "-T", "broker", "redis-cli", "ping", check=False
    )
    assert "PONG" not in plain.stdout


def test_only_the_broker_is_open_to_the_network(joined: Project) -> None:
    """The API is published on loopback, the database nowhere."""
    published = {
        service: {
            bind["HostIp"] for binds in joined.inspect(service)["HostConfig"]["PortBindings"].values() for bind in binds
        }
        for service in ("broker", "controller", "database")
    }
    assert published == {"broker": {"0.0.0.0"}, "controller": {"127.0.0.1"}, "database": set()}


def test_an_update_goes_all_the_way(joined: Project, origin: DockerRegistry) -> None:
    """A newer image is found, pulled by the agent, run, and written down with its source; Fleet's own parts are let be."""
    before = {service: joined.inspect(service)["Id"] for service in LONG_RUNNING}
    origin.push("acme/composed", "stable", Recipe(version="1", layers_mib=(0.5,), shares="composed-1"))
    joined.host.docker("run", "--detach", "--name", "app", "acme/composed:stable")
    new = origin.push("acme/composed", "stable", Recipe(version="2", layers_mib=(0.5,), shares="composed-2"))
    eventually(
        "the container in the inventory", lambda: joined.ask("ps", "--container", "app")["containers"], within_s=90
    )
    joined.fleet("update", "here", "app", "--timeout", "3m")
    label = '{{index .Config.Labels "org.opencontainers.image.version"}} {{.State.Running}}'
    assert joined.host.docker("inspect", "--format", label, "app") == "2 true"
    (row,) = joined.ask("history", "ls", "--container", "app")["outcomes"]
    told = joined.ask("history", "show", row["id"])
    assert (told["update"]["result"], told["update"]["new_digest"]) == ("updated", str(new))
    assert "registry-1.docker.io" in told["pull"]["mirror"]
    assert {service: joined.inspect(service)["Id"] for service in LONG_RUNNING} == before


def test_the_agent_reads_the_logins_and_proxies_that_a_policy_names(
    joined: Project, lab: Lab, origin: DockerRegistry
) -> None:
    """They are root's alone on the machine. The history says which mirror gave every byte, as that mirror's own log does."""
    site = Site.start(lab, "compose")
    joined.host.machine.write(f"/etc/docker/certs.d/{site.vault.host}/ca.crt", lab.ca.read_text())

    def write(path: str, text: str) -> None:
        file = joined.folder / "etc" / path
        file.parent.mkdir(parents=True)
        file.touch(mode=0o600)
        file.write_text(text)

    site.introduce(write)
    origin.push("acme/vaulted", "stable", Recipe(version="1", shares="vaulted-1"))
    joined.host.docker("run", "--detach", "--name", "vaulted", "acme/vaulted:stable")
    eventually("the inventory", lambda: joined.ask("ps", "--container", "vaulted")["containers"], within_s=90)
    new = origin.push("acme/vaulted", "stable", Recipe(version="2", layers_mib=(0.5,), shares="vaulted-2"))
    policy = ["exec", "-T", "controller", "fleet", "policy", "apply", "--host", "here", "-f", "-"]
    joined.compose(*policy, input=json.dumps({"mirrors": site.policy()}))
    joined.fleet("update", "here", "vaulted", "--timeout", "3m")
    joined.fleet("policy", "rm", "--host", "here")
    (row,) = joined.ask("history", "ls", f"digest:{new}")["outcomes"]
    told = joined.ask("history", "show", row["id"])
    assert (told["update"]["result"], told["pull"]["mirror"]) == ("updated", site.vault.url)
    by_mirror = {each["mirror"]: (each["result"], each["bytes"]) for each in told["pull"]["attempts"]}
    assert by_mirror[site.vault.url] == ("served", site.sent("acme/vaulted"))
    assert by_mirror[site.greedy.url] == ("unauthorized", 0)
    assert told["pull"]["bytes"] == site.sent("acme/vaulted") > 500_000
    site.check_secrets()


def test_a_second_up_keeps_everything(joined: Project) -> None:
    """The same certificates, the same host, the same history, after all containers were made anew."""
    before = joined.compose(
        "exec", "-T", "controller", "sha256sum", "/run/fleet/centre/ca.crt", "/run/fleet/centre/web.crt"
    )
    hosts = [row["id"] for row in joined.ask("host", "ls")["hosts"]]
    joined.compose("up", "--detach", "--wait", "--force-recreate", *(LONG_RUNNING - {"agent"}), timeout_s=600)
    again = joined.compose(
        "exec", "-T", "controller", "sha256sum", "/run/fleet/centre/ca.crt", "/run/fleet/centre/web.crt"
    )
    assert again == before
    assert [row["id"] for row in joined.ask("host", "ls")["hosts"]] == hosts
