"""A mirror behind a login and a proxy that policies name, another one that wants the login too, and who saw what of it."""

import base64
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from fleet.agent.probing import USER_AGENT as LOOK
from tests.lab import forward_proxy
from tests.lab.lab import HUB, Lab
from tests.lab.machines import Machine, eventually
from tests.lab.registries import ScriptableRegistry

LOGIN, PROXY_LOGIN = "robot:correct-horse-battery", "site-robot:another-secret"
_PORT = 3128


@dataclass(frozen=True)
class Site:
    """The two mirrors, and the proxy of the first."""

    vault: ScriptableRegistry
    greedy: ScriptableRegistry
    proxy: Machine

    @classmethod
    def start(cls, lab: Lab, prefix: str) -> Self:
        """Start the three, each on a machine of its own."""
        vault = lab.scriptable(f"{prefix}-vault", tls=True, upstream=HUB, user=LOGIN)
        greedy = lab.scriptable(f"{prefix}-greedy", upstream=HUB, user="somebody:else")
        proxy = lab.machine(f"{prefix}-proxy")
        proxy.start("proxy", sys.executable, forward_proxy.__file__, str(_PORT), PROXY_LOGIN, proxy.folder)
        eventually("the proxy listening", lambda: f":{_PORT:04X} " in proxy.run("cat", "/proc/net/tcp").stdout)
        return cls(vault, greedy, proxy)

    def policy(self) -> list[dict[str, Any]]:
        """Return the mirrors as a policy has them; whoever wrote it wishes the same login for both."""
        return [
            {"for": "docker.io", "url": self.greedy.url, "auth": "build", "insecure": True},
            {"for": "docker.io", "url": self.vault.url, "auth": "build", "proxy": "site", "insecure": True},
        ]

    def introduce(self, write: Callable[[str, str], Any]) -> None:
        """Let a host have the login and the proxy, as its administrator would: *write* takes paths below /etc/fleet."""
        config = {"auths": {self.vault.host: {"auth": _proof(LOGIN)}}}
        write("logins/build/config.json", json.dumps(config))
        write("proxies/site", f"http://{PROXY_LOGIN}@{self.proxy.address}:{_PORT}\n")

    def sent(self, repository: str) -> int:
        """Return the bytes of a repository that the first mirror sent to the proxy, by its own log; refusals are none."""
        return _sent(self.vault, self.proxy, repository)

    def sent_past_the_proxy(self, client: Machine, repository: str) -> int:
        """Return the bytes that either mirror sent to *client* itself."""
        return _sent(self.vault, client, repository) + _sent(self.greedy, client, repository)

    def check_secrets(self) -> None:
        """Check who saw which login, in whatever form: each its own, and the proxy that of the mirror in no form."""
        heads = [json.loads(line) for line in (self.proxy.folder / "heads.jsonl").read_text().splitlines()]
        seen = (self.proxy.folder / "seen").read_bytes()
        assert self.vault.was_told(_proof(LOGIN))
        assert {head["first"] for head in heads} == {f"CONNECT {self.vault.host}:443 HTTP/1.1"}
        assert {head["headers"]["proxy-authorization"] for head in heads} == {f"Basic {_proof(PROXY_LOGIN)}"}
        assert seen.startswith(b"\x16\x03"), "TLS begins so"
        for login in (LOGIN, PROXY_LOGIN):
            for secret in (_proof(login), login.partition(":")[2]):
                assert secret.encode() not in seen
                assert not self.greedy.was_told(secret)
        assert not self.vault.was_told(_proof(PROXY_LOGIN))
        assert _proof(LOGIN) not in json.dumps(heads)


def _sent(registry: ScriptableRegistry, client: Machine, repository: str) -> int:
    rows = [row for row in registry.asked("blobs") + registry.asked("manifests") if row.client == client.address]
    return sum(r.sent for r in rows if r.place.repository == repository and r.status in (200, 206) and r.agent != LOOK)


def _proof(login: str) -> str:
    """Return *login* as it travels in a header."""
    return base64.b64encode(login.encode()).decode()
