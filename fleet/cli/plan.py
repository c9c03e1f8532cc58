"""``fleet plan``, ``fleet apply`` and ``fleet update``: first what would be done, then doing it."""

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleet.cli import completing
from fleet.cli.building import build
from fleet.cli.console import Column, clean, none_of, print_answer, print_table, say, working
from fleet.cli.foreseen import foreseen_lines
from fleet.cli.select import selecting
from fleet.cli.session import Leaf, Session, trying
from fleet.cli.spec import speccing
from fleet.cli.waiting import follow, waiting
from fleet.cli.words import change, moment, numbered, short_id
from fleet.errors import BadInput, Refused

if TYPE_CHECKING:
    from fleet.api.plans import Ordered, Plan, PlanAnswer
    from fleet.api.selectors import Selector
    from fleet.client import Client

PENDING = 10
"""The exit code of ``plan --exit-code`` where something would be changed."""

NOTHING_TO_DO = "nothing to update"
ASKING, PLANNING = "asking the registries", "planning"
_COLUMNS = (
    Column("HOST"),
    Column("CONTAINER"),
    Column("IMAGE", 1),
    Column("DIGEST"),
    Column("ROUTE", 2),
)


@click.command(cls=Leaf)
@selecting
@speccing
@click.option("--out", type=click.Path(), help="Write the plan to this file, for: fleet apply FILE.")
@click.option("--check/--no-check", default=True, help="Ask the registries first (default), or take the last check.")
@click.option("--exit-code", is_flag=True, help="Exit 10 where something would be changed.")
@click.pass_context
def plan(
    ctx: click.Context, selector: "Selector", spec: dict[str, str], out: str | None, check: bool, exit_code: bool
) -> None:
    """Show what an update would do: old and new digest, where each host would pull from, and what changes in the
    containers' configuration.

    Nothing is changed. A plan holds for 24 hours, and is refused once what it saw has changed. With --spec, what the
    spec would run into is warned about.
    """
    from fleet.api.plans import MakePlan

    session = ctx.ensure_object(Session)
    with session.client() as client:
        request = build(MakePlan, selector=selector, check=check, **spec)
        with working(session, ASKING if check else PLANNING):
            answer = client.make_plan(request)
            known = answer.plan.changes or answer.plan.skipped or client.containers(selector).containers
    if out:
        _write(Path(out), answer)
    if not print_answer(session, answer):
        _show(session, answer.plan, out, NOTHING_TO_DO if known else none_of(selector))
    if exit_code and answer.plan.changes:
        ctx.exit(PENDING)


@click.command(cls=Leaf)
@click.argument("plan")
@speccing
@waiting
@trying
@click.pass_context
def apply(ctx: click.Context, plan: str, spec: dict[str, str], detach: bool, timeout: timedelta | None) -> None:
    """Carry out PLAN: the id that fleet plan printed, or the file that it wrote."""
    from fleet.api.plans import ApplyPlan

    session = ctx.ensure_object(Session)
    with session.client() as client:
        id = _checked_id(client, plan)
        ordered = client.apply_plan(id, build(ApplyPlan, **spec))
        ctx.exit(carry_out(session, client, ordered, detach, timeout))


@click.command(cls=Leaf)
@click.argument("host", shell_complete=completing.hosts)
@click.argument("container", required=False, shell_complete=completing.containers)
@click.option("--check/--no-check", default=True, help="Ask the registries first (default), or take the last check.")
@waiting
@trying
@click.pass_context
def update(
    ctx: click.Context, host: str, container: str | None, check: bool, detach: bool, timeout: timedelta | None
) -> None:
    """Bring HOST, or one CONTAINER of it, up to date: plan, apply and watch in one.

    A CONTAINER that may not be updated, or of whose tag nobody could tell, ends with exit code 6 and the reason.
    """
    from fleet.api.plans import UpdateHost

    session = ctx.ensure_object(Session)
    host, container = _apart(host, container)
    with session.client() as client:
        with working(session, ASKING if check else PLANNING):
            if session.dry_run and check:
                _ask_registries(session, host, container)
            asks = check and not session.dry_run
            ordered = client.update(build(UpdateHost, host=host, container=container, check=asks))
        if container:
            _check_taken(ordered)
        ctx.exit(carry_out(session, client, ordered, detach, timeout))


def _apart(host: str, container: str | None) -> tuple[str, str | None]:
    """Return host and container, also where they are given as one, ``web-1/app``, as warnings and plans print them."""
    if container is None and "/" in host:
        host, _, container = host.partition("/")
    return host, container


def _ask_registries(session: Session, host: str, container: str | None) -> None:
    """Let the registries be asked, which nobody can take back: what is tried after it goes by what they say now."""
    from fleet.api.selectors import Selector

    chosen = build(Selector, hosts=(host,), containers=(container,) if container else ())
    with session.client(in_earnest=True) as client:
        client.outdated(chosen, check=True)


def _check_taken(ordered: "Ordered") -> None:
    """Raise Refused where the one container that was asked for is left out: it is not for that up to date."""
    if ordered.rollout_id is None and ordered.plan.skipped:
        skipped = ordered.plan.skipped[0]
        told = f"cannot update {skipped.container} on {skipped.host}: {skipped.reason}"
        raise Refused(skipped.reason if skipped.reason.startswith("cannot ") else told)


def carry_out(session: Session, client: "Client", ordered: "Ordered", detach: bool, timeout: timedelta | None) -> int:
    """Show what was ordered, and follow it to its end; return the exit code."""
    if not session.json:
        _show_targets(session, ordered.plan)
    if ordered.rollout_id is None or detach or session.dry_run:
        print_answer(session, ordered)
        if session.dry_run:
            return 0
        if ordered.rollout_id is not None and not session.json:
            name = numbered(ordered.rollout, ordered.rollout_id)
            click.echo(f"rollout {name} goes on; watch it with: fleet rollout watch {name.removeprefix('#')}")
        return 0
    return follow(session, client, ordered.rollout_id.hex, timeout)


def _show(session: Session, plan: "Plan", out: str | None, empty: str) -> None:
    _show_targets(session, plan, empty)
    for line in foreseen_lines(plan):
        click.echo(clean(line))
    if plan.changes:
        name = out or short_id(plan.id)
        click.echo(f"plan {short_id(plan.id)}: {_count(plan)}; holds until {moment(plan.expires_at)}")
        say(f"carry it out with: fleet apply {name}")


def _show_targets(session: Session, plan: "Plan", empty: str = NOTHING_TO_DO) -> None:
    rows = [
        (host.host, t.container, t.reference, change(t.old_digest, t.new_digest), ", ".join(t.route) or "?")
        for host in plan.hosts
        for t in host.targets
    ]
    print_table(session, _COLUMNS, rows, empty)
    for skipped in plan.skipped:
        say(clean(f"left out: {skipped.host} {skipped.container}: {skipped.reason}"))
    for warning in plan.warnings:
        say(clean(f"warning: {warning}"))


def _count(plan: "Plan") -> str:
    hosts = len([host for host in plan.hosts if host.targets])
    return f"{plan.changes} container{'s'[: plan.changes != 1]} on {hosts} host{'s'[: hosts != 1]}"


def _write(path: Path, answer: "PlanAnswer") -> None:
    try:
        path.write_text(json.dumps(answer.document(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as e:
        raise BadInput(f"cannot write the plan to {path}: {e.strerror}") from e


def _checked_id(client: "Client", given: str) -> str:
    """Return the id of the plan that is meant; a file must still say what the centre pinned."""
    path = Path(given)
    if not (path.is_file() or "/" in given or given.endswith(".json")):
        return given
    saved = _read(path)
    kept = client.plan(saved.plan.id.hex)
    if kept.plan.pinned != saved.plan.pinned:
        raise Refused(f"cannot apply {path}: it is not what was planned as {short_id(saved.plan.id)}; plan anew")
    return saved.plan.id.hex


def _read(path: Path) -> "PlanAnswer":
    from pydantic import ValidationError

    from fleet.api.plans import PlanAnswer

    try:
        return PlanAnswer.model_validate_json(path.read_bytes())
    except OSError as e:
        raise BadInput(f"cannot read the plan {path}: {e.strerror}") from e
    except ValidationError:
        raise BadInput(f"cannot use {path} as a plan; write one with: fleet plan --out {path}") from None
