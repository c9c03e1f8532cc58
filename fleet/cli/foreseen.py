"""What a plan says of the containers' configuration, below its table."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fleet.cli.words import familiar
from fleet.rollouts.naming import named

if TYPE_CHECKING:
    from fleet.api.plans import Plan, PlanConfiguration, PlanTarget

_NAMED = 3
"""How many containers are named before they are only counted."""


def foreseen_lines(plan: "Plan") -> Iterator[str]:
    """Yield what will change in the configuration of the targets, each thing once with those whom it meets."""
    whom: dict[int, list[tuple[str, PlanTarget]]] = defaultdict(list)
    for host in plan.hosts:
        for target in host.targets:
            if target.configuration is not None and target.configuration < len(plan.configurations):
                whom[target.configuration].append((f"{host.host}/{target.container}", target))
    for place, configuration in enumerate(plan.configurations):
        if place in whom:
            images = dict.fromkeys(familiar(target.image) for _, target in whom[place])
            yield f"configuration of {named([name for name, _ in whom[place]], _NAMED)} ({', '.join(images)}):"
            yield from (f"  {line}" for line in _of(configuration))


def _of(told: "PlanConfiguration") -> Iterator[str]:
    """Yield what is said of one configuration."""
    yield from told.changes
    if told.unknown:
        yield f"not known: {told.unknown}"
    elif not told.changes:
        yield "nothing changes"
    if told.overridden:
        yield f"stays although the image changes it: {', '.join(told.overridden)}"
    if kept := [path for path in told.kept if path not in told.overridden]:
        yield f"stays as it was set: {', '.join(kept)}"
