"""The query parameters that choose hosts and containers."""

from typing import Annotated

from fastapi import Depends, Query

from fleet.api.selectors import Selector as Asked
from fleet.errors import BadInput
from fleet.rollouts.selector import Selector

Patterns = Annotated[tuple[str, ...], Query(max_length=1000)]


def labels_of(given: tuple[str, ...]) -> dict[str, str]:
    """Read ``name=value`` each; raise BadInput for what is none."""
    labels = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise BadInput(f"cannot use {text[:200]!r} as a label; expected name=value")
        labels[name] = value
    return labels


def selector_of(asked: Asked) -> Selector:
    """Return the selector that a request means."""
    return Selector.parse(asked.document())


def _from_query(host: Patterns = (), label: Patterns = (), image: Patterns = (), container: Patterns = ()) -> Selector:
    return Selector.parse(
        {"hosts": list(host), "labels": labels_of(label), "images": list(image), "containers": list(container)}
    )


Selected = Annotated[Selector, Depends(_from_query)]
"""What ``?host=&label=&image=&container=`` chooses; each may be repeated."""
