"""A container of somebody else's that has the old one's name: the old one runs without it, where that harms nothing."""

from fleet.engine.protocol import Inspect
from fleet.engine.volumes import written
from fleet.errors import EngineError
from fleet.updates.run import Run


def give_name(run: Run, found: Inspect, name: str) -> str:
    """Give a container its *name* back, where it has another; return why it has it not, or empty.

    Raise EngineError where what is called *name* now was put in its place: somebody had taken the new one away before,
    or both would write to the same data. Two must not run then.
    """
    if found["Name"].lstrip("/") == name:
        return ""
    try:
        run.engine.rename(found["Id"], name)
    except EngineError as error:
        taken = run.named(name)
        told = str(error) if taken is None else _taken(found, name, taken)
        if taken is not None and (not run.new_was_there or written(found) & written(taken)):
            raise EngineError(f"{told}; it was not started beside that one") from error
        return told
    return ""


def _taken(found: Inspect, name: str, taken: Inspect) -> str:
    return (
        f"cannot give {name} its name back, which another container ({taken['Id'][:12]}) has: {name} is there as"
        f" {found['Name'].lstrip('/')}, and gets its name once that one is renamed or removed"
    )
