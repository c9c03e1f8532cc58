"""One call of ``fleet``: its global options, and the connection that they describe."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from fleet.errors import BadInput

if TYPE_CHECKING:
    from fleet.client import Client, ServerAddress

F = TypeVar("F", bound=Callable[..., Any])
TABLE, WIDE, JSON, YAML, JSONL, CSV, NAME = FORMATS = ("table", "wide", "json", "yaml", "jsonl", "csv", "name")
"""What ``-o`` takes: every command prints a table, JSON or YAML; lists print the others too, and those of what has a name ``name``."""


@dataclass(slots=True)
class Session:
    """What was said for the whole call, before or after the command's name."""

    server: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    output: str = TABLE
    no_color: bool = False
    no_input: bool = False
    quiet: bool = False
    columns: str = ""
    """Of a list, which of its columns, with commas between; empty: all."""
    sort: str = ""
    """By which of them, with a minus before it downwards; empty: as the server says it."""
    no_headers: bool = False
    dry_run: bool = False
    """Whether what is ordered is only tried."""
    context: str | None = None
    """The name of a server that the settings file knows."""
    told: set[str] = field(default_factory=set)
    """What of all this was said on the command line, and not by the environment."""

    @property
    def json(self) -> bool:
        """Whether a program reads what is printed: one document, as JSON or as the YAML that says the same."""
        return self.output in (JSON, YAML)

    def client(self, *, in_earnest: bool = False) -> "Client":
        """Return a connection to the server, which tries alone what is ordered where that is wanted; nothing is sent yet."""
        from fleet.client.calls import Client

        return Client(self.address(), dry_run=self.dry_run and not in_earnest)

    def address(self) -> "ServerAddress":
        """Return where the server is, and with which token; raise BadInput where that cannot be told."""
        from fleet.client.address import ServerAddress

        server, token_file, ca_file = self._found()
        ca = Path(ca_file) if ca_file else None
        return ServerAddress.parse(server, token=_token(token_file) if token_file else "", ca_file=ca)

    def _found(self) -> tuple[str, str | None, str | None]:
        """Return server, token file and CA file: what was said, else what the settings file says.

        Whoever names a server gets no token of the file: it belongs to the server that stands beside it.
        """
        if context := self._context():
            return self._of_context(context)
        if self.server:
            return self.server, self.token_file, self.ca_file
        if os.environ.get("FLEET_SOCKET") or os.environ.get("FLEET_STATE_DIR"):
            return _local_server(), self.token_file, self.ca_file
        from fleet.cli import profile

        if context := profile.used():
            return self._of_context(context)
        said = profile.read()
        token_file, ca_file = self.token_file or said.get("token_file"), self.ca_file or said.get("ca_file")
        return said.get("server") or _local_server(), token_file, ca_file

    def _context(self) -> str | None:
        """Return the context that was named and counts: one on the command line before a server of the environment."""
        if not self.context or not self.server:
            return self.context
        if ("context" in self.told) is ("server" in self.told):
            raise BadInput(
                f"cannot go to {self.server} and to the context {self.context} at once; leave out one of them"
            )
        return self.context if "context" in self.told else None

    def _of_context(self, name: str) -> tuple[str, str | None, str | None]:
        """Return what a context says; a token of the environment is not for its server, one of the command line is."""
        from fleet.cli import profile

        said = profile.context(name)
        token_file = self.token_file if "token_file" in self.told else said.get("token_file")
        ca_file = self.ca_file if "ca_file" in self.told else said.get("ca_file")
        return said["server"], token_file, ca_file

    def may_ask(self) -> bool:
        """Whether a person sits there and may be asked."""
        return not self.no_input and os.isatty(0) and os.isatty(2)


def _local_server() -> str:
    from fleet.settings import places

    if named := os.environ.get("FLEET_SOCKET"):
        return named
    state = os.environ.get("FLEET_STATE_DIR")
    return str(places.socket(Path(state).absolute() if state else places.state_dir()))


def _token(path: str) -> str:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        reason = getattr(e, "strerror", None) or "not a text file"
        raise BadInput(f"cannot read the token file {path}: {reason}; make a token with: fleet token create") from e
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise BadInput(f"cannot use the token file {path}: expected one token, alone on one line")
    return token


def _note(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is None or value is False:
        return
    session = ctx.ensure_object(Session)
    setattr(session, str(param.name), value)
    if ctx.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE:
        session.told.add(str(param.name))


def context_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a context; no server is asked."""
    from fleet.cli import profile

    return [name for name in profile.contexts() if name.startswith(incomplete)]


def noting(*options: click.Option) -> tuple[click.Option, ...]:
    """Return options whose values the session gets, and not the command."""
    for option in options:
        option.expose_value, option.callback, option.is_eager = False, _note, True
    return options


def trying(command: F) -> F:
    """Give *command* the option that lets the server try it, and take it back."""
    told = "Say what would come of it, and change nothing."
    option = click.option("--dry-run", is_flag=True, expose_value=False, callback=_note, is_eager=True, help=told)
    return option(command)


def _options(*, root: bool) -> list[click.Option]:
    """Return the global options; a leaf takes them too, and shows only ``-o`` in its help."""
    shared: dict[str, Any] = {"expose_value": False, "callback": _note, "is_eager": True}
    hidden: dict[str, Any] = {**shared, "hidden": not root}

    def env(name: str) -> dict[str, Any]:
        return {"envvar": name, "show_envvar": True} if root else {}

    return [
        click.Option(
            ["--server"],
            metavar="URL",
            help="https://HOST:PORT, or unix:///PATH; by default the socket of this machine.",
            **env("FLEET_SERVER"),
            **hidden,
        ),
        click.Option(
            ["--context"],
            metavar="NAME",
            help="A server by its name: see fleet context.",
            shell_complete=context_names,
            **env("FLEET_CONTEXT"),
            **hidden,
        ),
        click.Option(
            ["--token-file"],
            metavar="FILE",
            help="File with the token; - is stdin.",
            **env("FLEET_TOKEN_FILE"),
            **hidden,
        ),
        click.Option(
            ["--ca-file"],
            metavar="FILE",
            help="PEM file that vouches for the server.",
            **env("FLEET_CA_FILE"),
            **hidden,
        ),
        click.Option(
            ["-o", "--output"],
            type=click.Choice(FORMATS if root else (TABLE, JSON, YAML)),
            help="What to print; json is the API's own schema, and yaml the same"
            + ("; wide, jsonl, csv and name are for lists." if root else "."),
            **env("FLEET_OUTPUT"),
            **shared,
        ),
        click.Option(["--no-color"], is_flag=True, help="No colours; NO_COLOR does the same.", **hidden),
        click.Option(
            ["--no-input"], is_flag=True, help="Never ask; fail and name the flag.", **env("FLEET_NO_INPUT"), **hidden
        ),
    ]


class Leaf(click.Command):
    """A command that takes the global options after its name as well."""

    forms: tuple[str, ...] = (TABLE, JSON, YAML)
    """What it can print."""

    def __init__(self, *args: Any, **more: Any) -> None:
        """Add the global options to the command's own."""
        super().__init__(*args, **more)
        self.params.extend(_options(root=False))
        for param in self.params:
            if "--output" in param.opts:
                param.type = click.Choice(self.forms)

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; raise BadInput where a form was asked for, before its name or by FLEET_OUTPUT, that it cannot print."""
        wanted = ctx.ensure_object(Session).output
        if wanted not in self.forms:
            raise BadInput(f"cannot print this as {wanted}: it is no list; choose -o {' or -o '.join(self.forms)}")
        if os.environ.get("FORCE_COLOR"):
            # What is painted is decided where it is; Click would take it away where no terminal listens.
            ctx.color = True
        if not ctx.ensure_object(Session).dry_run:
            return super().invoke(ctx)
        try:
            super().invoke(ctx)
        except click.exceptions.Exit as end:
            code = end.exit_code
        else:
            code = 0
        click.echo("a dry run: nothing was changed", err=True)
        raise click.exceptions.Exit(code)


class Branch(click.Group):
    """A group whose commands are leaves."""

    command_class = Leaf


def root_options(command: click.Group) -> click.Group:
    """Give *command* the global options."""
    command.params.extend(_options(root=True))
    return command


pass_session = click.make_pass_decorator(Session, ensure=True)
"""Hands the session to a command as its first argument."""
