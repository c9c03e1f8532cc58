"""The command ``fleet``: finds the command that was named, runs it, and turns errors into one line and an exit code."""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import TextIO

import click

from fleet.cli.lazy import Lazy, LazyGroup
from fleet.cli.session import root_options
from fleet.errors import FleetError

LOOK, DO, SET, RUN = "Look", "Do", "Set up", "Run"

COMMANDS = {
    "ps": Lazy("fleet.cli.containers:ps", "List the containers of all hosts.", LOOK),
    "outdated": Lazy("fleet.cli.containers:outdated", "List the containers whose tag has moved on.", LOOK),
    "history": Lazy("fleet.cli.history:history", "Ask what was updated, when, and through which mirror.", LOOK),
    "audit": Lazy("fleet.cli.audit:audit", "List who did what, through which door.", LOOK),
    "events": Lazy("fleet.cli.events:events", "Tell what happened, or follow what happens.", LOOK),
    "mirror": Lazy("fleet.cli.mirror:mirror", "Look at mirrors and at the route of an image.", LOOK),
    "doctor": Lazy("fleet.cli.doctor:doctor", "Say what is wrong, why, and what to do about it.", LOOK),
    "plan": Lazy("fleet.cli.plan:plan", "Show what an update would do.", DO),
    "apply": Lazy("fleet.cli.plan:apply", "Carry a plan out.", DO),
    "update": Lazy("fleet.cli.plan:update", "Bring a host, or one container of it, up to date.", DO),
    "undo": Lazy("fleet.cli.undo:undo", "Bring one container back to what it ran before.", DO),
    "rollout": Lazy(
        "fleet.cli.rollout:rollout", "Begin rollouts, look at them, answer them, pause, stop and undo them.", DO
    ),
    "rehearse": Lazy("fleet.cli.rehearse:rehearse", "Tell what a rollout would come to, before there is one.", LOOK),
    "approve": Lazy("fleet.cli.rollout:approve", "Approve the next wave of a rollout.", DO),
    "schedule": Lazy("fleet.cli.schedule:schedule", "Let checks and updates run by the clock.", DO),
    "stops": Lazy("fleet.cli.stop:stops", "List what is frozen, held, snoozed or skipped.", LOOK),
    "freeze": Lazy("fleet.cli.stop:freeze", "Touch no container of the fleet, or of some hosts, for a while.", DO),
    "unfreeze": Lazy("fleet.cli.stop:unfreeze", "Lift a freeze.", DO),
    "hold": Lazy("fleet.cli.stop:hold", "Keep a container or an image as it is.", DO),
    "snooze": Lazy("fleet.cli.stop:snooze", "Keep a container or an image as it is for a while.", DO),
    "skip": Lazy("fleet.cli.stop:skip", "Never bring a container to one digest.", DO),
    "unhold": Lazy("fleet.cli.stop:unhold", "Lift a hold, snooze or skip.", DO),
    "cap": Lazy("fleet.cli.cap:cap", "Limit how many hosts of one site or rack may be away at once.", SET),
    "host": Lazy("fleet.cli.host:host", "Add, look at, rename and remove hosts.", SET),
    "policy": Lazy("fleet.cli.policy:policy", "Say which mirrors hosts use, and how they update.", SET),
    "import": Lazy("fleet.cli.importing:importing", "Take over what Watchtower was told.", SET),
    "notify": Lazy("fleet.cli.notify:notify", "Say where people are told what happens.", SET),
    "receiver": Lazy(
        "fleet.cli.receiver:receiver", "Let registries say what was pushed, so that it is checked at once.", SET
    ),
    "token": Lazy("fleet.cli.token:token", "Make and revoke tokens of the API.", SET),
    "context": Lazy("fleet.cli.context:context", "Choose among the servers of several fleets.", SET),
    "completion": Lazy("fleet.cli.about:completion", "Print the completion script of a shell.", SET),
    "api": Lazy("fleet.cli.api:api", "Send a request to the API, and print what it answers.", SET),
    "up": Lazy("fleet.cli.up:up", "Run centre and agent together on this machine.", RUN),
    "controller": Lazy("fleet.cli.controller:controller", "Run the processes of the centre.", RUN),
    "agent": Lazy("fleet.cli.agent:agent", "Run the agent of this host.", RUN),
    "init": Lazy("fleet.cli.init:init", "Make certificates and passwords for a centre with servers of its own.", RUN),
    "config": Lazy("fleet.cli.config:config", "Show and check the settings of this machine.", RUN),
    "db": Lazy("fleet.cli.db:db", "Look after the database: shape, backups, what is kept.", RUN),
    "support-bundle": Lazy(
        "fleet.cli.support:support_bundle", "Write what somebody who helps needs into one file.", RUN
    ),
    "healthcheck": Lazy("fleet.cli.about:healthcheck", "Exit 0 only when the server answers.", RUN),
    "help": Lazy("fleet.cli.helping:help_", "Tell of a topic, or of a command.", RUN),
    "version": Lazy("fleet.cli.about:version", "Print the version.", RUN),
}
"""Every command, where it is, and its help: ``fleet --help`` loads none of them."""

WORDS_OF_OTHERS = {
    "check": "fleet outdated --check",
    "containers": "fleet ps",
    "deploy": "fleet rollout start",
    "hosts": "fleet host ls",
    "list": "fleet ps, or fleet host ls",
    "logs": "fleet history, or fleet events --follow",
    "ls": "fleet ps, or fleet host ls",
    "nodes": "fleet host ls",
    "pause": "fleet freeze, or fleet rollout pause",
    "pull": "fleet update",
    "resume": "fleet unfreeze, or fleet rollout resume",
    "rollback": "fleet undo, or fleet rollout undo",
    "rollouts": "fleet rollout ls",
    "run": "fleet up",
    "start": "fleet up, or fleet rollout start",
    "status": "fleet doctor, or fleet outdated",
    "stop": "fleet freeze, or fleet rollout abort",
    "upgrade": "fleet update",
}
"""What people type who know another program, and what they mean here."""

EXIT_CODES = """\b
Exit codes: 0 done or nothing to do; 1 error; 2 usage; 3 finished, but
some hosts failed or were rolled back; 4 credentials needed; 5 not found;
6 refused; 7 timed out, the work goes on; 8 server unreachable; 10 changes
pending (plan --exit-code). More: fleet help environment, exit-codes,
formatting, selectors, queries."""

INTERRUPTED = 130


@root_options
@click.group(
    "fleet",
    cls=LazyGroup,
    lazy=COMMANDS,
    words_of_others=WORDS_OF_OTHERS,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def fleet() -> None:
    """Keep the containers of many Docker hosts up to date, mirror first, with a way back, and remember everything."""


def run(args: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Expected failures become one line on stderr."""
    try:
        code = fleet.main(args=args, prog_name="fleet", standalone_mode=False)
        if sys.stdout is not None:  # None: it was closed before the start
            sys.stdout.flush()
    except click.ClickException as e:
        e.show()
        return e.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except FleetError as e:
        return _failed(e)
    except BrokenPipeError:
        _close_stdout()
        return 1
    except OSError as e:
        return _stopped_by_system(e)
    except ModuleNotFoundError as e:
        return _missing(e)
    return code if isinstance(code, int) else 0  # ctx.exit() is handed back as a number


def main() -> None:
    """Run what was typed, and exit."""
    take_any_sign(sys.stdout)
    sys.exit(run())


def take_any_sign(stream: TextIO | None) -> None:
    """Let *stream* write a question mark for what its encoding has no sign for: a reason may be in any language."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")


def _failed(error: FleetError) -> int:
    """Say what could not be done; the reason may be in the words of a host or a registry."""
    from fleet.cli.console import say

    say(str(error))
    return error.exit_code


def _missing(error: ModuleNotFoundError) -> int:
    """Say which extra to install where a library is missing; a module of Fleet itself is a fault of ours."""
    if error.name is None or error.name.split(".")[0] == "fleet":
        raise error
    click.echo(
        f"cannot run this without {error.name}; install it with: pip install 'fleet-updater[server]', "
        "or [agent] for an agent, or [up] for both",
        err=True,
    )
    return 1


def _stopped_by_system(error: OSError) -> int:
    """Say what the system refused: a full disk, a folder that may not be written, too many open files."""
    where = f" with {str(error.filename)[:200]}" if error.filename else ""
    click.echo(f"cannot go on{where}: {error.strerror or error}", err=True)
    _close_stdout()
    return 1


def _close_stdout() -> None:
    """Let Python's own flush at exit not fail again: the reader (``| head``) is gone."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


if __name__ == "__main__":
    main()
