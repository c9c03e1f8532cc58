"""The tutorial, typed as it stands: each block on its machine, from nothing to the first staged rollout, on real engines."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.lab import debian
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Host, Lab
from tests.lab.machines import eventually
from tests.lab.registries import DockerRegistry
from tests.lab.test_compose import CONTEXT, ROOT

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

PAGE = ROOT / "docs/tutorial-first-rollout.md"
CENTRE, WEBS = "centre", ("web-1", "web-2")
NAMES = {CENTRE: "fleet.example.lan", "web-1": "web-1", "web-2": "web-2"}
REGISTRY = "registry.example.lan"
_BLOCK = re.compile(r"```sh\n# on ([^\n,]+)[^\n]*\n(.*?)```", re.S)
_ENDS = re.compile(r"(.*?) +# exit code (\d+).*")
_FUNCTION = re.compile(r"^fleet\(\) \{.*?^\}", re.S | re.M)
_PRELUDE = """\
set -euo pipefail
export DOCKER_BUILDKIT=0 BASE_IMAGE={base} POSTGRES_IMAGE={postgres} REDIS_IMAGE={redis}
docker() {{ if [ "$1" = compose ]; then command docker-compose --ansi never "${{@:2}}"; else command docker "$@"; fi; }}
scp() {{ cp "$1" "{homes}/${{2%%:*}}/home/${{2#*:}}"; }}
ssh() {{ DOCKER_HOST="unix://{homes}/$1/docker.sock" "${{@:2}}"; }}
cd {folder}
"""
"""What a machine of the lab lacks: BuildKit, base images from Docker Hub, Compose as a plugin, SSH."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What is typed on some machines."""

    machines: tuple[str, ...]
    text: str

    @classmethod
    def of(cls, where: str, text: str) -> "Block":
        """Read one block of the page."""
        return cls(machines=(CENTRE,) if where == "the centre" else tuple(where.split(" and ")), text=text)

    @property
    def script(self) -> str:
        """Return it as a script; a command that ends with another code than the page says ends the script."""
        lines = (_ENDS.fullmatch(line) or line for line in self.text.splitlines())
        return "\n".join(line if isinstance(line, str) else f"{line[1]} || [ $? = {line[2]} ]" for line in lines)


def blocks() -> list[Block]:
    """Return what the page has one type, in its order."""
    return [Block.of(where, text) for where, text in _BLOCK.findall(PAGE.read_text())]


@dataclass
class Stage:
    """The three machines, and what was printed on them."""

    hosts: dict[str, Host]
    said: list[str] = field(default_factory=list)

    def type(self, block: Block) -> str:
        """Type *block* on each of its machines; raise FleetError where it does not end as the page says."""
        printed = [self._run(name, block.script) for name in block.machines]
        self.said += [f"on {' and '.join(block.machines)}:", block.text, *printed]
        return "\n".join(printed)

    def ask(self, *arguments: str) -> Any:
        """Say a fleet command at the centre, and return what its JSON says."""
        return json.loads(self._run(CENTRE, " ".join(("fleet", *arguments, "-o", "json"))))

    def pages(self) -> list[str]:
        """Return what the shop of each host shows."""
        inside = ("exec", "shop", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/")
        return [self.hosts[name].docker(*inside) for name in WEBS]

    def _run(self, name: str, script: str) -> str:
        machine = self.hosts[name].machine
        prelude = _PRELUDE.format(
            base=debian.BASE,
            postgres=debian.POSTGRES,
            redis=debian.REDIS,
            homes=machine.folder.parent,
            folder=machine.folder / "home",
        )
        # A shell function is as old as its shell: a reader's lives from the second block on.
        (function,) = {said for block in blocks() for said in _FUNCTION.findall(block.text)}
        return machine.run("bash", "-c", f"{prelude}{function}\n{script}", timeout_s=900).stdout


@pytest.fixture(scope="module")
def stage(lab: Lab, origin: DockerRegistry) -> Iterator[Stage]:
    """A centre with a copy of this repository, two hosts, a registry of one's own, and Docker Hub."""
    Generation.V26.need()
    origin.push("library/busybox", "1.36", Recipe())
    lab.origin("registry", (REGISTRY,))
    stage = Stage({name: lab.host(name, Generation.V26, names=[called]) for name, called in NAMES.items()})
    for name in WEBS:
        stage.hosts[name].machine.write(f"/etc/docker/certs.d/{REGISTRY}/ca.crt", lab.ca.read_text())
    debian.load(stage.hosts[CENTRE])
    copy = stage.hosts[CENTRE].machine.folder / "home"
    for name in CONTEXT:
        shutil.copy(ROOT / name, copy)
    for name in ("fleet", "migrations"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(debian.wheels(ROOT / "requirements.image.lock"), copy / "dist/wheels")
    yield stage
    print("\n".join(stage.said))


def test_every_block_says_where_it_is_typed() -> None:
    """So none of them is passed over."""
    assert len(blocks()) == PAGE.read_text().count("```sh\n") > 10
    assert {name for block in blocks() for name in block.machines} == {CENTRE, *WEBS}


def test_the_tutorial_works_as_it_stands(stage: Stage) -> None:
    """Every command ends as the page says, and after each step there is what it promises."""
    for block in blocks():
        for words, ready in BEFORE.items():
            if words in block.text:
                eventually(words, lambda ready=ready: ready(stage), within_s=120, every_s=1)  # type: ignore[misc]
        printed = stage.type(block)
        for words, holds in AFTER.items():
            if words in block.text:
                holds(stage, printed)


def _online(stage: Stage) -> bool:
    return [host["state"] for host in stage.ask("host", "ls")["hosts"]] == ["online", "online"]


def _seen(stage: Stage) -> bool:
    return len(stage.ask("ps", "--container", "shop")["containers"]) == len(WEBS)


def _the_first_wave_alone(stage: Stage, _printed: str) -> None:
    assert sorted(stage.pages()) == ["shop 1.0", "shop 1.1"]


def _all_have(version: str) -> Callable[[Stage, str], None]:
    def holds(stage: Stage, _printed: str) -> None:
        assert stage.pages() == [version] * len(WEBS)

    return holds


def _it_stopped_at_one_host(stage: Stage, printed: str) -> None:
    assert stage.pages() == ["shop 1.1"] * len(WEBS)
    (row,) = stage.ask("history", "ls", "outcome:rolled_back")["outcomes"]
    assert row["container"] == "shop" and "HEALTHCHECK" in row["reason"]
    assert "rolled_back" in printed


def _nothing_is_left(stage: Stage, _printed: str) -> None:
    assert stage.hosts[CENTRE].docker("ps", "--all", "--quiet") == ""
    assert stage.hosts[CENTRE].docker("volume", "ls", "--quiet") == ""
    assert [stage.hosts[name].docker("ps", "--all", "--quiet") for name in WEBS] == ["", ""]


BEFORE: dict[str, Callable[[Stage], bool]] = {"fleet host ls": _online, "fleet ps --container shop": _seen}
"""What a reader waits for ("a few seconds later"), by words of the block before which it is."""
AFTER: dict[str, Callable[[Stage, str], None]] = {
    "# exit code 6": _the_first_wave_alone,
    "fleet approve 1": _all_have("shop 1.1"),
    "# exit code 3": _it_stopped_at_one_host,
    "fleet rollout undo 1": _all_have("shop 1.0"),
    "down --volumes": _nothing_is_left,
}
"""What is there after a block, by words of it."""
