"""The stand-in's program: ``python -m fleet.agent.replacing FOLDER ENGINE`` updates the agent's own container, and ends."""

import logging
import sys
from pathlib import Path

from fleet.clock import SystemClock
from fleet.engine.docker import connect
from fleet.updates.own import carry_out


def main(folder: str, url: str) -> None:
    """Take the order in *folder* to its end, at the engine *url*."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    carry_out(connect(url or None), Path(folder), SystemClock())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
