"""Commands that are loaded when they are run: help and completion of ``fleet`` itself load none of them."""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click
from click.exceptions import NoSuchCommand, UsageError
from click.shell_completion import CompletionItem


class Lazy(NamedTuple):
    """Where a command is, and what help says of it without loading it."""

    place: str
    """``module:attribute``."""
    help: str
    section: str


class LazyGroup(click.Group):
    """A group that knows its commands by name and loads one when it is asked for."""

    def __init__(
        self, *args: Any, lazy: Mapping[str, Lazy], words_of_others: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        """Take *lazy*, in the order in which help shows it, and what stands here for *words_of_others* that are no commands."""
        super().__init__(*args, **more)
        self.lazy = lazy
        self.words_of_others = words_of_others or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the help."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load and return the command; None where there is none of this name."""
        entry = self.lazy.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; name those that were probably meant where there is none."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            meant = self.words_of_others.get(error.command_name)
            if meant:
                raise UsageError(f"No such command '{error.command_name}'. Here it is: {meant}", ctx) from None
            raise NoSuchCommand(error.command_name, possibilities=self.lazy, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section."""
        width = max(map(len, self.lazy))
        for section in dict.fromkeys(entry.section for entry in self.lazy.values()):
            with formatter.section(section):
                rows = [(name.ljust(width), e.help) for name, e in self.lazy.items() if e.section == section]
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin with *incomplete*, then this group's options."""
        names = [CompletionItem(name, help=e.help) for name, e in self.lazy.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)
