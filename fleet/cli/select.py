"""The options that choose hosts and containers, the same for every command."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from fleet.cli import completing
from fleet.cli.words import read_pairs

if TYPE_CHECKING:
    from fleet.api.selectors import Selector

_OPTIONS = (
    click.option(
        "--host",
        "hosts",
        multiple=True,
        metavar="PATTERN",
        shell_complete=completing.hosts,
        help="Hosts by name: web-1, 'web-*'.",
    ),
    click.option("--label", "labels", multiple=True, metavar="K=V", help="Hosts that have the label."),
    click.option(
        "--image",
        "images",
        multiple=True,
        metavar="PATTERN",
        shell_complete=completing.images,
        help="Images: nginx, 'ghcr.io/org/*'.",
    ),
    click.option(
        "--container",
        "containers",
        multiple=True,
        metavar="PATTERN",
        shell_complete=completing.containers,
        help="Containers by name.",
    ),
)


def selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the options, and hand it a ``selector``."""

    @functools.wraps(command)
    def selected(
        *args: Any,
        hosts: tuple[str, ...],
        labels: tuple[str, ...],
        images: tuple[str, ...],
        containers: tuple[str, ...],
        **more: Any,
    ) -> Any:
        return command(*args, selector=_selector(hosts, labels, images, containers), **more)

    for option in reversed(_OPTIONS):
        selected = option(selected)
    return selected


def _selector(
    hosts: tuple[str, ...], labels: tuple[str, ...], images: tuple[str, ...], containers: tuple[str, ...]
) -> "Selector":
    from fleet.api.selectors import Selector
    from fleet.cli.building import build

    return build(Selector, hosts=hosts, labels=read_pairs(labels), images=images, containers=containers)
