"""Real engines get an image from a mirror behind a login and a proxy that the policy names, and nobody else learns of either."""

import base64
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab import forward_proxy
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import HUB, Host, Lab
from tests.lab.machines import Machine, eventually
from tests.lab.registries import DockerRegistry, ScriptableRegistry
from tests.lab.test_pull import left_over, pull

pytestmark = pytest.mark.timeout(600)

LOGIN, PROXY_LOGIN = "robot:correct-horse-battery", "site-robot:another-secret"
PORT = 3128


def proof(login: str) -> str:
    """Return *login* as it travels in a header."""
    return base64.b64encode(login.encode()).decode()


@dataclass(frozen=True)
class Site:
    """A mirror that wants a login, one that wants it too and has no right to it, and the proxy of the first."""

    vault: ScriptableRegistry
    greedy: ScriptableRegistry
    proxy: Machine

    def heads(self) -> list[Any]:
        """Return what the proxy was asked for."""
        return [json.loads(line) for line in (self.proxy.folder / "heads.jsonl").read_text().splitlines()]

    def seen(self) -> bytes:
        """Return what clients sent through the proxy."""
        return (self.proxy.folder / "seen").read_bytes()

    def policy(self) -> list[dict[str, str]]:
        """Return the mirrors as a policy has them; whoever wrote it wishes the same login for both."""
        return [
            {"for": "docker.io", "url": self.greedy.url, "auth": "build"},
            {"for": "docker.io", "url": self.vault.url, "auth": "build", "proxy": "site"},
        ]

    def introduce(self, host: Host) -> None:
        """Let *host* have the login and the proxy, as its administrator would."""
        config = {"auths": {self.vault.host: {"auth": proof(LOGIN)}}}
        host.machine.write("/etc/fleet/logins/build/config.json", json.dumps(config)).chmod(0o600)
        url = f"http://{PROXY_LOGIN}@{self.proxy.address}:{PORT}"
        host.machine.write("/etc/fleet/proxies/site", f"{url}\n").chmod(0o600)


@pytest.fixture(scope="module")
def site(lab: Lab, origin: DockerRegistry) -> Site:
    """Start the three, each on a machine of its own."""
    vault = lab.scriptable("named-vault", tls=True, upstream=HUB, user=LOGIN)
    greedy = lab.scriptable("named-greedy", upstream=HUB, user="somebody:else")
    proxy = lab.machine("named-proxy")
    proxy.start("proxy", sys.executable, forward_proxy.__file__, str(PORT), PROXY_LOGIN, proxy.folder)
    eventually("the proxy listening", lambda: f":{PORT:04X} " in proxy.run("cat", "/proc/net/tcp").stdout)
    return Site(vault, greedy, proxy)


@pytest.mark.parametrize("engine", [Generation.V20, Generation.V26_CONTAINERD])
def test_a_mirror_behind_a_login_and_a_proxy_serves(
    engine: Generation, host_of: Callable[[str], Host], origin: DockerRegistry, site: Site
) -> None:
    """All bytes are told of as that mirror's, by its own log too; the login is read by it alone, and the proxy's by the proxy."""
    engine.need()
    host, name = host_of(engine), f"named-{engine.replace('.', '-')}"
    repository = f"library/{name}"
    digest = origin.push(repository, "1", Recipe(version=name, layers_mib=(1.5,), shares=name))
    site.introduce(host)
    told = pull(host, f"{name}:1", digest, mirrors=site.policy())
    outcome = told["outcome"]
    assert outcome["ok"], outcome["reason"]
    assert told["image"]["RepoDigests"] == [f"{name}@{digest}"]
    assert not left_over(told)
    by_source = {each["source"]: each for each in outcome["attempts"]}
    assert [each["result"] for each in outcome["attempts"]] == ["unauthorized", "served", "unused"]
    served = by_source[site.vault.url]["bytes"]
    assert served == outcome["bytes"] == sent(site.vault, site.proxy, repository) > 1_500_000
    assert sent(site.vault, host.machine, repository) == sent(site.greedy, host.machine, repository) == 0
    assert not any(row.place.repository == repository for row in origin.asked("blobs", client=host.address))
    only_for_whom_it_is(site)


def sent(registry: ScriptableRegistry, client: Machine, repository: str) -> int:
    """Return the bytes of a repository that *registry* sent to *client*, by its own log; refusals are none."""
    rows = [row for row in registry.accesses() if row.client == client.address and row.status in (200, 206)]
    return sum(row.sent for row in rows if row.place.repository == repository and row.method == "GET")


def only_for_whom_it_is(site: Site) -> None:
    """Check who saw which login, in whatever form."""
    assert site.vault.was_told(proof(LOGIN))
    assert {head["first"] for head in site.heads()} == {f"CONNECT {site.vault.host}:443 HTTP/1.1"}
    assert {head["headers"]["proxy-authorization"] for head in site.heads()} == {f"Basic {proof(PROXY_LOGIN)}"}
    assert site.seen().startswith(b"\x16\x03")
    secrets = [text for login in (LOGIN, PROXY_LOGIN) for text in (proof(login), login.partition(":")[2])]
    for secret in secrets:
        assert secret.encode() not in site.seen()
        assert not site.greedy.was_told(secret)
    assert not any(secret in json.dumps(site.heads()) for secret in secrets[:2])
    assert not any(site.vault.was_told(secret) for secret in secrets[2:])
