"""Who goes with a container that is updated, and whether they can: found before anything is touched."""

from collections.abc import Sequence

from fleet.engine.protocol import Engine, Inspect
from fleet.engine.spec import peers_named, shares_with
from fleet.errors import BadInput
from fleet.updates.hooks import check_hooks
from fleet.updates.labels import TRUE
from fleet.updates.stopping import stopping

SWARM_LABEL = "com.docker.swarm.task.id"


def others_of(engine: Engine, old: Inspect) -> list[Inspect]:
    """Return the inspects of all containers but *old*."""
    found = (engine.inspect(container) for container in engine.container_ids(all=True) if container != old["Id"])
    return [other for other in found if other is not None]


def followers_of(old: Inspect, others: Sequence[Inspect]) -> tuple[Inspect, ...]:
    """Return who of *others* lives in a namespace of *old*, or is linked to it, at first hand or not; whom others need comes
    first.
    """
    left = list(others)
    placed = [old]
    going: list[Inspect] = []
    while near := [other for other in left if any(shares_with(other, member) for member in placed)]:
        going += near
        placed = near
        left = [other for other in left if other not in near]
    return tuple(_in_order(going))


def peers_of(engine: Engine, inspect: Inspect) -> dict[str, Inspect]:
    """Return the inspects of the containers that *inspect* refers to, by what it calls them."""
    return {named: found for named in peers_named(inspect) if (found := engine.inspect(named)) is not None}


def obstacle_of(old: Inspect, followers: Sequence[Inspect]) -> str:
    """Return why *old* and its *followers* cannot be recreated together, or empty."""
    for other in followers:
        why = _obstacle(other)
        if why or old["HostConfig"].get("AutoRemove"):
            name, how = (
                other["Name"].lstrip("/"),
                next(filter(None, (shares_with(other, m) for m in (old, *followers)))),
            )
            return f"container {name} goes with it ({how}), and {why or 'what it goes with is removed when it stops'}"
    return ""


def _obstacle(other: Inspect) -> str:
    labels = other["Config"].get("Labels") or {}
    try:
        check_hooks(labels)
        stopping(labels)
    except BadInput as error:
        return str(error)
    if labels.get("fleet.ignore", "").lower() in TRUE:
        return "its label fleet.ignore says that it is never touched"
    if SWARM_LABEL in labels:
        return "belongs to a Swarm service"
    if other["State"].get("Paused"):
        return "is paused"
    if other["HostConfig"].get("AutoRemove"):
        return "is removed when it stops"
    return ""


def _in_order(going: Sequence[Inspect]) -> list[Inspect]:
    """Return *going*, whom others need before those; what goes in a circle comes last, as it came."""
    ordered: list[Inspect] = []
    left = list(going)
    while left:
        free = [one for one in left if not any(shares_with(one, other) for other in left if other is not one)]
        ordered += free or left
        left = [one for one in left if free and one not in free]
    return ordered
