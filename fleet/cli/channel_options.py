"""Options of channels that more than one command takes: quiet hours, and words of their own."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fleet.errors import BadInput

_WINDOW = "start=22:00 duration=9h tz=Europe/Berlin days=sat,sun"
HOURS = click.option(
    "--quiet",
    "quiet",
    multiple=True,
    metavar="WINDOW",
    help=f"When it is told only of what cannot wait: {_WINDOW!r}.",
)
PASSES = click.option(
    "--quiet-passes",
    type=click.Choice(["error", "warning", "nothing"]),
    help="What is told in quiet hours all the same; by default errors.",
)
LINKS = click.option(
    "--links/--no-links",
    default=None,
    help="Links that approve or abort a rollout that waits: once, for whoever reads the message, without a login. Off by default.",
)
_WORDS = (
    click.option("--title-template", metavar="TEMPLATE", help="Its own words for titles, in Jinja2."),
    click.option(
        "--template-file", metavar="FILE", help="A file with its own words for the text, in Jinja2; - for stdin."
    ),
    click.option(
        "--format",
        "format_",
        type=click.Choice(["text", "markdown", "html"]),
        help="What the template of the text makes; by default text.",
    ),
)


def wording(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the options for a channel's own words, and hand it those as ``words``, in those of the API."""

    @functools.wraps(command)
    def worded(
        *args: Any, title_template: str | None, template_file: str | None, format_: str | None, **more: Any
    ) -> Any:
        words = {} if title_template is None else {"title_template": title_template}
        words |= {"body_template": text_of(template_file)} if template_file else {}
        words |= {"format": format_} if format_ else {}
        return command(*args, words=words, **more)

    for option in reversed(_WORDS):
        worded = option(worded)
    return worded


def hours_of(given: tuple[str, ...]) -> list[dict[str, object]]:
    """Return quiet hours in the words of the API."""
    found: list[dict[str, object]] = []
    for each in given:
        parts = [part.partition("=") for part in each.split()]
        if not parts or not all(name and sign and value for name, sign, value in parts):
            raise BadInput(f"cannot use {each[:80]!r} as quiet hours; expected such as {_WINDOW!r}")
        hours: dict[str, object] = {name: value for name, _, value in parts}
        if isinstance(days := hours.get("days"), str):
            hours["days"] = days.split(",")
        found.append(hours)
    return found


def text_of(file: str) -> str:
    """Return what stands in a file, or on stdin for ``-``; raise BadInput where it cannot be read."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise BadInput(f"cannot read {file}: {getattr(e, 'strerror', None) or 'it is no text'}") from None
    return text.strip()
