"""The routes of notifications. A channel's URL and secret come in, sealed for the notifier, and never go out again."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from fleet.api.form import Done
from fleet.api.notify import (
    AddChannel,
    ChangeChannel,
    Channel,
    ChannelAdded,
    ChannelAnswer,
    ChannelChanged,
    Channels,
    Delivery,
    Passes,
    Previews,
    QuietHours,
    Retried,
    TestAsked,
    TryTemplate,
)
from fleet.controller.condition_catalogue import CATALOGUE
from fleet.errors import BadInput
from fleet.history.notify import channels, deliveries
from fleet.history.notify.channels import ChannelChange, ChannelRow
from fleet.history.notify.deliveries import DeliveryRow
from fleet.history.tables.words import ChannelKind, DeliveryState
from fleet.notify import by_apprise, quiet, rule, webhook
from fleet.notify.events import EventType, read
from fleet.notify.quiet import Quiet
from fleet.notify.rule import Rule
from fleet.notify.seal import Seal
from fleet.notify.severity import Severity
from fleet.notify.text import title
from fleet.rollouts.windows import DAYS, Window
from fleet.web import wording
from fleet.web.callers import Admin, Reader, Writer
from fleet.web.centre import Centre, ThisCentre
from fleet.web.selecting import selector_of

router = APIRouter(prefix="/channels", tags=["notifications"])


@router.get("")
def list_channels(centre: ThisCentre, _: Reader) -> Channels:
    """List the channels, without their secrets."""
    return Channels(channels=tuple(_channel(centre, row) for row in channels.channels(centre.db)))


@router.post("", status_code=201)
def add_channel(centre: ThisCentre, caller: Admin, body: AddChannel) -> ChannelAdded:
    """Add a channel; where a secret is made for it, it is in this answer and nowhere else."""
    wanted = Rule(events=body.events, severity=body.severity, selector=selector_of(body.selector))
    rule.check(wanted, [kind.code for kind in CATALOGUE])
    kind = ChannelKind.WEBHOOK if body.url.lower().startswith(("http://", "https://")) else ChannelKind.APPRISE
    words = wording.checked(kind, wording.template_of(body), wanted, links=body.links)
    made = webhook.make_secret() if kind is ChannelKind.WEBHOOK and not body.secret else ""
    address = _checked(kind, body)
    row = channels.add_channel(
        centre.db,
        name=body.name,
        kind=kind,
        address=address,
        sealed=_sealed(centre, body.url, body.secret or made),
        rule=wanted,
        quiet=_quiet(centre, body.quiet, body.quiet_passes),
        template=words,
        links=_links(centre, body.links),
        **caller.by(),
    )
    return ChannelAdded(channel=_channel(centre, row), secret=made)


@router.get("/{name}")
def show_channel(
    centre: ThisCentre, _: Reader, name: str, limit: Annotated[int, Query(ge=1, le=1000)] = 20
) -> ChannelAnswer:
    """Show a channel with its newest deliveries."""
    row = channels.channel(centre.db, name)
    found = deliveries.latest(centre.db, row.id, limit)
    return ChannelAnswer(channel=_channel(centre, row), deliveries=tuple(map(_delivery, found)))


@router.patch("/{name}")
def change_channel(centre: ThisCentre, caller: Admin, name: str, body: ChangeChannel) -> ChannelChanged:
    """Change what is given, and leave the rest; what waits for the end of quiet hours is looked at anew."""
    row = channels.channel(centre.db, name)
    wanted = Rule(
        events=body.events or row.rule.events,
        severity=body.severity or row.rule.severity,
        selector=row.rule.selector if body.selector is None else selector_of(body.selector),
    )
    rule.check(wanted, [kind.code for kind in CATALOGUE])
    hushed = None
    if body.quiet is not None or body.quiet_passes is not None:
        hushed = _quiet(centre, body.quiet, body.quiet_passes, row.quiet)
    words = wording.template_of(body, row.template)
    # Other events may want fields that were empty for those before.
    linked = row.links if body.links is None else _links(centre, body.links)
    if words != row.template or (words and (wanted != row.rule or linked != row.links)):
        wording.checked(row.kind, words, wanted, links=linked)
    change = ChannelChange(
        rule=None if wanted == row.rule else wanted,
        quiet=hushed,
        template=None if words == row.template else words,
        links=None if linked == row.links else linked,
    )
    return ChannelChanged(channel=_channel(centre, channels.change_channel(centre.db, name, change, **caller.by())))


@router.delete("/{name}")
def remove_channel(centre: ThisCentre, caller: Admin, name: str) -> Done:
    """Remove a channel, with all that waits for it."""
    channels.remove_channel(centre.db, name, **caller.by())
    return Done()


@router.post("/{name}/test")
def test_channel(centre: ThisCentre, caller: Writer, name: str) -> TestAsked:
    """Let a test be sent to a channel; the notifier sends it."""
    return TestAsked(event_id=deliveries.ask_test(centre.db, name, **caller.by()))


@router.post("/{name}/retry")
def retry_channel(centre: ThisCentre, caller: Writer, name: str) -> Retried:
    """Let what was given up wait again, and the channel be tried at once."""
    return Retried(deliveries=deliveries.retry_channel(centre.db, name, **caller.by()))


@router.get("/{name}/preview")
def preview_channel(centre: ThisCentre, _: Reader, name: str) -> Previews:
    """Show an example of each event that a channel gets, as it would get it."""
    return wording.previews(centre, channels.channel(centre.db, name), TryTemplate())


@router.post("/{name}/preview")
def try_template(centre: ThisCentre, _: Writer, name: str, body: TryTemplate) -> Previews:
    """Show the examples as a channel would get them with other words; nothing is changed, but it takes the centre's time."""
    return wording.previews(centre, channels.channel(centre.db, name), body)


def _quiet(
    centre: Centre, hours: Sequence[QuietHours] | None, passes: Passes | None, before: Quiet | None = None
) -> Quiet:
    """Return the quiet hours that were asked for; what is None stays as *before*. Raise BadInput for what cannot be used."""
    before = before or Quiet()
    found = Quiet(
        hours=before.hours if hours is None else quiet.read_hours([each.model_dump(mode="json") for each in hours]),
        passes=before.passes if passes is None else None if passes is Passes.NOTHING else Severity(passes),
    )
    found.check(centre.db.now())
    return found


def _links(centre: Centre, wanted: bool) -> bool:
    """Return whether a channel may have links; raise BadInput where none could lead anywhere."""
    if wanted and not centre.settings.web.public_url:
        raise BadInput(
            "cannot let this channel have links: it is not known how people reach this server; set FLEET_WEB_PUBLIC_URL"
        )
    return wanted


def _checked(kind: ChannelKind, body: AddChannel) -> str:
    """Return what may be shown of the URL; raise BadInput for what cannot be used."""
    if kind is ChannelKind.APPRISE:
        if body.secret:
            raise BadInput("cannot use a secret with a URL of Apprise: it holds what the service needs")
        return by_apprise.check_url(body.url)
    if body.secret:
        webhook.check_secret(body.secret)
    return webhook.check_url(body.url)


def _sealed(centre: Centre, url: str, secret: str) -> str:
    return Seal.load(centre.settings.state_dir).close({"url": url, "secret": secret})


_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"))
"""Milliseconds of the units that durations are written in."""


def _hours(window: Window) -> QuietHours:
    days = () if window.days == DAYS else window.days
    unit, name = next((unit, name) for unit, name in _UNITS if window.duration_ms % unit == 0)
    length = f"{window.duration_ms // unit}{name}"
    return QuietHours(days=days, start=window.start, duration=length, tz=window.zone)


def _channel(centre: Centre, row: ChannelRow) -> Channel:
    return Channel(
        id=row.id,
        name=row.name,
        kind=row.kind,
        state=_state(row),
        address=row.address,
        events=row.rule.events,
        severity=row.rule.severity,
        selector=row.rule.selector.document(),
        quiet=tuple(map(_hours, row.quiet.hours)),
        quiet_passes=Passes(row.quiet.passes) if row.quiet.passes else Passes.NOTHING,
        quiet_until=row.quiet.until(centre.db.now()) if row.quiet.hours else None,
        title_template=row.template.title,
        body_template=row.template.body,
        format=row.template.format,
        links=row.links,
        waiting=row.waiting,
        given_up=row.given_up,
        sent_at=row.sent_at,
        failing_since=row.failing_since,
        reason=row.reason,
        again_at=row.due_at if row.failing_since and not row.stopped_at else None,
        created_by=row.created_by,
        created_at=row.created_at,
    )


def _state(row: ChannelRow) -> str:
    if row.stopped_at is not None:
        return "gone"
    if row.failing_since is not None:
        return "failing"
    return "ok" if row.sent_at is not None else "new"


def _delivery(row: DeliveryRow) -> Delivery:
    event = read(row.told)
    return Delivery(
        event_id=row.event_id,
        type=EventType(event.type).value,
        severity=event.severity,
        title=title(event),
        state=row.state,
        tries=row.tries,
        reason=row.reason,
        created_at=row.created_at,
        until=row.until,
        ended_at=row.ended_at,
        held_until=row.held_until if row.state is DeliveryState.WAITING else None,
    )
