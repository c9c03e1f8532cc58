"""What channels say: examples of it, and words of their own, which are filled before they are kept."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fleet.api.notify import AddChannel, ChangeChannel, Preview, Previews, TryTemplate
from fleet.errors import BadInput, Refused
from fleet.history.notify.channels import ChannelRow
from fleet.history.tables.words import ChannelKind
from fleet.notify import rule, template
from fleet.notify.events import Event
from fleet.notify.examples import examples
from fleet.notify.rule import Rule
from fleet.notify.template import Template
from fleet.web.centre import Centre


def previews(centre: Centre, row: ChannelRow, body: TryTemplate) -> Previews:
    """Return an example of each event that the channel in *row* gets, in the words of *body* where it has some; raise BadInput."""
    fit = _examples(row.rule, links=row.links)
    if row.kind is ChannelKind.WEBHOOK:
        _no_template(row.kind, body.title_template, body.body_template)
        source = centre.settings.notify.source
        documents = [json.dumps(event.document(source), indent=2, ensure_ascii=False) for event in fit]
        return Previews(
            channel=row.name,
            kind=row.kind,
            previews=tuple(
                Preview(type=event.type.value, severity=event.severity, body=text)
                for event, text in zip(fit, documents, strict=True)
            ),
        )
    with _rendering():
        words = template.write_all(template_of(body, row.template), [[event] for event in fit], row.name)
    shown = [
        Preview(
            type=event.type.value,
            severity=event.severity,
            title=each.message.title,
            body=each.message.body,
            wrong=each.wrong,
        )
        for event, each in zip(fit, words, strict=True)
    ]
    return Previews(channel=row.name, kind=row.kind, previews=tuple(shown))


_AT_ONCE = threading.BoundedSemaphore(2)
"""How many templates are filled at once: each may take seconds of the machine's time."""
_WAIT_S = 20.0


@contextmanager
def _rendering() -> Iterator[None]:
    if not _AT_ONCE.acquire(timeout=_WAIT_S):
        raise Refused("cannot fill the template now: others are being filled; try again")
    try:
        yield
    finally:
        _AT_ONCE.release()


def _examples(wanted: Rule, *, links: bool) -> list[Event]:
    """Return an example of each event that a channel gets."""
    plain = Rule(events=wanted.events, severity=wanted.severity)
    return [each for each in examples(links=links) if rule.wants(plain, each, ())]


def template_of(asked: AddChannel | ChangeChannel | TryTemplate, before: Template | None = None) -> Template:
    """Return the words that were asked for; what is not given stays as *before*."""
    before = before or Template()
    return Template(
        title=before.title if asked.title_template is None else asked.title_template,
        body=before.body if asked.body_template is None else asked.body_template,
        format=asked.format or before.format,
    )


def checked(kind: ChannelKind, wanted: Template, fit: Rule, *, links: bool) -> Template:
    """Return a template that can be filled for each event that the channel gets; raise BadInput for another."""
    _no_template(kind, wanted.title, wanted.body)
    with _rendering():
        template.check(wanted, _examples(fit, links=links))
    return wanted


def _no_template(kind: ChannelKind, *given: str | None) -> None:
    if kind is ChannelKind.WEBHOOK and any(given):
        raise BadInput(
            "cannot use a template with a webhook: it gets each event as JSON, and its receiver finds the words"
        )
