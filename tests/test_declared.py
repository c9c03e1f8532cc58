"""What the program imports is declared: an install from pyproject.toml alone has it, whatever the developer's tools bring along."""

import json
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "fleet-updater"
OPTIONAL = {"opentelemetry-api", "pyyaml", "setuptools"}
"""What libraries import where it is there, and do without; setuptools looks into every Python that it is in."""
_IMPORTED = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
files = {name.partition(".")[0] for name in sys.modules}
print(json.dumps(sorted(files)))
"""


def declared(extra: str) -> set[str]:
    """Return the distributions that an install with *extra* brings, all that they need included."""
    found, ahead = set[tuple[str, str]](), [(PROJECT, extra), (PROJECT, "")]
    while ahead:
        name, chosen = ahead.pop()
        if (name, chosen) in found:
            continue
        found.add((name, chosen))
        for text in wanted(name, chosen):
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": chosen}):
                ahead += [(canonicalize_name(need.name), each) for each in ("", *need.extras)]
    return {name for name, _ in found}


def wanted(name: str, extra: str) -> list[str]:
    """Return what a distribution asks for; this project's as it is written now, not as it was installed."""
    if name != PROJECT:
        return metadata.requires(name) or []
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    return [*(project["optional-dependencies"][extra] if extra else project["dependencies"])]


def imported(*modules: str) -> set[str]:
    """Return the distributions of all that is imported with *modules*, in a process of its own."""
    told = subprocess.run([sys.executable, "-c", _IMPORTED, *modules], capture_output=True, text=True, check=True)
    owners = metadata.packages_distributions()
    return {canonicalize_name(owner) for name in json.loads(told.stdout) for owner in owners.get(name, ())[:1]}


@pytest.mark.parametrize(
    ("extra", "modules"),
    [
        ("", ("fleet.cli.main", "fleet.client")),
        ("agent", ("fleet.agent.process", "fleet.engine.docker", "fleet.gateway.server")),
        (
            "server",
            (
                "fleet.controller.process",
                "fleet.web.process",
                "fleet.controller.planner",
                "fleet.controller.notifier",
                "fleet.cli.init",
            ),
        ),
        ("notify", ("apprise",)),
        ("mqtt", ("paho.mqtt.client",)),
        ("up", ("fleet.cli.up", "fleet.cli.local", "fleet.controller.supervisor", "fleet.road.embedded")),
    ],
)
def test_what_an_extra_imports_it_also_installs(extra: str, modules: tuple[str, ...]) -> None:
    """A library may import what it does not ask for itself: then this project must."""
    assert imported(*modules) - declared(extra) - OPTIONAL - {PROJECT} == set()
