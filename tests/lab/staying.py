"""A demo that stays: the fleet keeps running, with its pages, until somebody presses Ctrl-C.

As a program it pushes one more version of an image to the registry of such a demo, for whoever wants something to update.
"""

import shlex
import signal
import sys
from pathlib import Path

from tests.lab.centre import FLEET, PORT
from tests.lab.images import build, push
from tests.lab.report import heading, line
from tests.lab.stage import APPS, SICK, Stage, recipe

_ENDS = {signal.SIGINT, signal.SIGTERM}


def stay(stage: Stage) -> None:
    """Say how the fleet is reached, and return when somebody has had enough of it."""
    machine = stage.fleet.machine
    token = machine.folder / "token"
    token.touch(mode=0o600)
    token.write_text(stage.fleet.ask("token", "create", "demo", "--scope", "admin")["secret"])
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)  # before anybody is told how to end it
    heading("the fleet stays; Ctrl-C ends it. In another terminal, as root:")
    line(f"export FLEET_SOCKET={stage.fleet.state / 'fleet.sock'}")
    line(f"alias fleet={shlex.quote(shlex.join(FLEET))}")
    line("fleet ps")  # a line of its own: a shell knows an alias from the line after it
    line(f"docker -H {stage.hosts[0].engine_url} ps    # the engine of {stage.hosts[0].name}")
    push_to = shlex.join([sys.executable, "-m", "tests.lab.staying", stage.origin.url, str(stage.lab.ca)])
    line(f"{push_to} {APPS[0]} 7    # a newer version is in the registry; {' and '.join(SICK)} never get healthy")
    line(f"pages: https://{machine.address}:{PORT}/ (signed by {stage.lab.ca}); the token to log in is in {token}")
    signal.sigwait(_ENDS)


def main(url: str, ca: str, app: str, version: str) -> None:
    """Push *version* of one of the demo's images."""
    print(f"{app} {version} is {push(url, f'acme/{app}', 'stable', build(recipe(app, version)), ca=Path(ca))}")


if __name__ == "__main__":
    main(*sys.argv[1:])
