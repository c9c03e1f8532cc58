"""The query parameters that choose hosts and containers."""

from typing import Annotated, Any

from fastapi import Depends, Query

from fleet.api.selectors import Selector as Asked
from fleet.errors import BadInput
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.written import check_spec, read_spec

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


def spec_of(spec: dict[str, Any] | None, text: str | None, name: str) -> RolloutSpec | None:
    """Return the spec that a request means, in either form; None: it names none. Raise BadInput."""
    if spec is not None and text is not None:
        raise BadInput("cannot take both spec and spec_text; give one of them")
    if text is not None:
        return read_spec(text, name)
    if spec is None:
        return None
    found = RolloutSpec.parse(spec)
    check_spec(found, "the rollout's spec")
    return found


def selector_of(asked: Asked) -> Selector:
    """Return the selector that a request means."""
    return Selector.parse(asked.document())


def _from_query(host: Patterns = (), label: Patterns = (), image: Patterns = (), container: Patterns = ()) -> Selector:
    return Selector.parse(
        {"hosts": list(host), "labels": labels_of(label), "images": list(image), "containers": list(container)}
    )


Selected = Annotated[Selector, Depends(_from_query)]
"""What ``?host=&label=&image=&container=`` chooses; each may be repeated."""
