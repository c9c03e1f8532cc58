"""A small agent in a container, which has its own container updated: ``python -m tests.updates.own_agent STATE ENGINE STEP``.

``STATE/todo.json`` holds what is ordered; the outcome goes to ``STATE/outcome.json``. STEP is where its stand-in dies once.
"""

import signal
import sys
import time
from pathlib import Path

from pydantic import TypeAdapter

from fleet.engine.docker import connect
from fleet.updates.myself import own_id
from fleet.updates.outcome import UpdateOutcome
from fleet.updates.own import OwnOrder, OwnUpdate

TODO = TypeAdapter(OwnOrder)
OUTCOME = TypeAdapter(UpdateOutcome)


def main(state: Path, url: str, step: str) -> None:
    """Look for work until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    engine, me = connect(url), own_id()
    program = (sys.executable, "-m", "tests.updates.own_stand_in", step)
    own = OwnUpdate(state, me, program)
    (state / f"agent-{me[:12]}").touch()
    while True:
        order, todo = own.pending(), state / "todo.json"
        if order is None and todo.exists():
            own.hand_over(engine, TODO.validate_json(todo.read_bytes()))
            todo.unlink()
        elif order is not None and (outcome := own.outcome(order)):
            (state / "outcome.json").write_bytes(OUTCOME.dump_json(outcome))
            own.forget(engine, order)
        elif order is not None:
            own.see_to_stand_in(engine, order)
        time.sleep(0.2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
