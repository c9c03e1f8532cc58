"""``fleet help``: what a command does, and what holds for all of them."""

import click

from fleet.cli.session import Leaf
from fleet.cli.topics import TOPICS


@click.command("help", cls=Leaf)
@click.argument("words", nargs=-1, metavar="[TOPIC|COMMAND]...")
@click.pass_context
def help_(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Tell of a topic (environment, exit-codes, formatting, selectors, queries), or of a command."""
    if len(words) == 1 and words[0] in TOPICS:
        click.echo(TOPICS[words[0]][1])
        return
    found = ctx.find_root()
    for word in words:
        command = found.command
        following = command.get_command(found, word) if isinstance(command, click.Group) else None
        if following is None:
            raise click.UsageError(_unknown(found, word, first=word == words[0]), ctx=ctx)
        found = click.Context(following, info_name=word, parent=found)
    click.echo(found.get_help())
    if not words:
        click.echo("\nTopics of fleet help:")
        for name, (sentence, _) in TOPICS.items():
            click.echo(f"  {name:<12} {sentence}")


def _unknown(context: click.Context, word: str, *, first: bool) -> str:
    import difflib

    known = context.command.list_commands(context) if isinstance(context.command, click.Group) else []
    close = difflib.get_close_matches(word, [*known, *(TOPICS if first else ())])
    meant = f" Did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
    return f"No such topic or command {word!r}.{meant}" if first else f"No such command {word!r}.{meant}"
