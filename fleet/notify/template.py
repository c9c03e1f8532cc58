"""The words of a channel of its own: templates for title and body, filled in a process with little memory and time.

Where a template cannot be used, a message goes out in the usual words with a note of it: nothing is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from fleet.errors import BadInput
from fleet.notify import child
from fleet.notify.events import Event
from fleet.notify.fields import of_message
from fleet.notify.text import LONGEST_BODY, Message, message

LONGEST_TEMPLATE = 20_000
LONGEST_TITLE_TEMPLATE = 1000
LONGEST_TITLE = 250
"""Characters of a title; what services take."""
TIMEOUT_S = 30.0
"""Seconds that filling may take on a busy machine; of processor time it gets much less."""


class Format(StrEnum):
    """What the text of a body is."""

    TEXT = "text"
    """Text as it is."""
    MARKDOWN = "markdown"
    """Markdown, which services that know none get as text."""
    HTML = "html"
    """HTML, in which what comes from hosts is escaped; as for mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What a channel says in words of its own; an empty part is as without."""

    title: str = ""
    body: str = ""
    format: Format = Format.TEXT
    """Of the body, where it has a template."""

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self.title or self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One message in a channel's own words."""

    message: Message
    format: Format = Format.TEXT
    wrong: str = ""
    """What is wrong with the template, of which nothing is in the message then."""


def write(template: Template, events: Sequence[Event], channel: str) -> Written:
    """Return one message of *events*; where the template cannot be used, in the usual words with a note of it."""
    (found,) = write_all(template, [events], channel)
    if not found.wrong:
        return found
    note = f"\n\n(The template of this channel could not be used: {found.wrong}. See: fleet notify preview {channel})"
    return replace(found, message=replace(found.message, body=found.message.body + note))


def write_all(template: Template, batches: Sequence[Sequence[Event]], channel: str) -> list[Written]:
    """Return one message of each of *batches*, without notes of what is wrong."""
    plain = [Written(message=message(events)) for events in batches]
    if not template:
        return plain
    asked = {
        "title": template.title,
        "body": template.body,
        "html": template.format is Format.HTML,
        "messages": [of_message(events, channel) for events in batches],
    }
    try:
        answer = child.ask("fleet.notify.render", asked, child.environment(whole=False), TIMEOUT_S)
    except OSError:
        answer = {"error": "it takes too long, or too much memory"}
    if wrong := answer.get("error"):
        return [replace(each, wrong=_line(wrong)) for each in plain]
    return [_written(template, usual, told) for usual, told in zip(plain, answer["messages"], strict=True)]


def _written(template: Template, usual: Written, told: dict[str, str]) -> Written:
    if wrong := told.get("error"):
        return replace(usual, wrong=_line(wrong))
    title, body = " ".join(told["title"].split())[:LONGEST_TITLE], told["body"].strip()
    if len(body) > LONGEST_BODY:
        return replace(usual, wrong=f"body: it is longer than {LONGEST_BODY} characters")
    own = replace(usual.message, title=title or usual.message.title, body=body or usual.message.body)
    return Written(message=own, format=template.format if body else Format.TEXT)


def check(template: Template, examples: Sequence[Event]) -> None:
    """Raise BadInput where a template cannot be filled for one of *examples*, or for all of them in one message."""
    for part, text, most in (
        ("title", template.title, LONGEST_TITLE_TEMPLATE),
        ("body", template.body, LONGEST_TEMPLATE),
    ):
        if len(text) > most:
            raise BadInput(f"cannot use a template of {len(text)} characters for the {part}; {most} are the most")
    if not template:
        return
    batches = [[each] for each in examples] + ([list(examples)] if len(examples) > 1 else [])
    for events, found in zip(batches, write_all(template, batches, "ops"), strict=True):
        if found.wrong:
            which = events[0].type.value if len(events) == 1 else "several events in one message"
            raise BadInput(f"cannot use the template: {found.wrong} (of {which})")


def _line(text: str) -> str:
    """Return what is wrong in one line."""
    return " ".join(text.split())[:300]
