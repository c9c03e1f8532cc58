"""``fleet import watchtower``: what Watchtower was told, as a policy and a schedule; applied only where asked."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleet.cli.building import build
from fleet.cli.console import Column, print_json, print_table, say
from fleet.cli.session import Branch, Session, pass_session
from fleet.errors import BadInput, Refused

if TYPE_CHECKING:
    from fleet.client import Client
    from fleet.rollouts.watchtower import Imported

_COLUMNS = (Column("OPTION"), Column("VALUE", 2), Column("FATE"), Column("HERE", wraps=True))


@click.group("import", cls=Branch)
def importing() -> None:
    """Take over what another updater was told."""


@importing.command("watchtower", context_settings={"ignore_unknown_options": True})
@click.argument("flags", nargs=-1, type=click.UNPROCESSED, metavar="[-- FLAGS...]")
@click.option("--inspect", type=click.Path(), help="What docker inspect says of the container, as a file.")
@click.option("--env-file", type=click.Path(), help="A file of NAME=VALUE lines.")
@click.option("--for-host", metavar="NAME", help="For this host; by default for the whole fleet.")
@click.option("--name", default="watchtower", show_default=True, help="What the schedule is called.")
@click.option("--apply", is_flag=True, help="Write the policy and make the schedule; without it nothing is changed.")
@pass_session
def watchtower(
    session: Session,
    flags: tuple[str, ...],
    inspect: str | None,
    env_file: str | None,
    for_host: str | None,
    name: str,
    apply: bool,
) -> None:
    """Turn Watchtower's options into a policy and a schedule, and say what becomes of each.

    Options are taken from --inspect, --env-file and from FLAGS after two dashes, which win. Labels on containers need
    nothing: Fleet reads Watchtower's.
    """
    from fleet.rollouts.watchtower import Given, read_environment, read_inspect, turn

    given = Given()
    given.add_flags(flags)
    if env_file:
        given.add_environment(read_environment(_read(env_file)))
    if inspect:
        read = read_inspect(_read(inspect))
        given.options = read.options | given.options
        given.names = given.names or read.names
        given.zone, given.unknown = given.zone or read.zone, [*read.unknown, *given.unknown]
    found = turn(given)
    if session.json:
        print_json(_document(found))
    else:
        _show(session, found)
    if not apply:
        say("nothing was changed; write it with: --apply")
        return
    if found.refusals:
        named = ", ".join(each.name for each in found.refusals)
        raise Refused(
            f"cannot apply it: {named} would be lost, and more might be updated; set it by hand and leave it out"
        )
    with session.client() as client:
        _apply(client, found, for_host, name)
    say("written; see: fleet policy show, fleet schedule show " + name)


@importing.command("mirrors")
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option(
    "--registry", default="", metavar="NAME", help="Which registry a hosts.toml is about; else its folder's name."
)
@pass_session
def mirrors(session: Session, files: tuple[str, ...], registry: str) -> None:
    """Turn daemon.json, hosts.toml or podman's registries.conf into a policy with the same mirrors.

    It is printed as fleet policy apply takes it, and nothing is changed. Exit 1 where a file is broken, or says what a
    policy cannot.
    """
    from fleet.mirrors.translation import Translated, policy_toml, translate

    each = [translate(_read(file).encode(), str(Path(file).absolute()), registry) for file in files]
    found = Translated(
        rules=tuple(rule for one in each for rule in one.rules),
        problems=tuple(told for one in each for told in one.problems),
    )
    if session.json:
        print_json({"schema": "v1", "policy": found.policy, "problems": found.problems})
    elif found.rules:
        click.echo(policy_toml(found.rules))
    elif not found.problems:
        say("no mirrors")
    for problem in found.problems:
        say(problem.partition(": ")[2])
    if found.problems:
        click.get_current_context().exit(1)


def _apply(client: "Client", found: "Imported", host: str | None, name: str) -> None:
    """Write the policy, beside what it says already, and then the schedule that acts by it."""
    from fleet.api.policies import SetPolicy
    from fleet.api.schedules import CreateSchedule
    from fleet.api.selectors import Selector
    from fleet.rollouts.policy import merged

    if found.schedule and any(each.name == name for each in client.schedules().schedules):
        raise Refused(f"cannot make the schedule: the name {name!r} is taken; choose another with: --name")
    kind, subject = ("host", host) if host else ("fleet", "")
    known = client.policies(host).policies
    written = next((p.document for p in known if p.kind.value == kind and p.subject in ("", subject)), {})
    if found.policy:
        client.set_policy(build(SetPolicy, kind=kind, subject=subject, document=merged((written, found.policy))))
    if found.schedule:
        selector = Selector(hosts=(host,) if host else ())
        client.create_schedule(build(CreateSchedule, name=name, selector=selector, **found.schedule))


def _show(session: Session, found: "Imported") -> None:
    rows = [(each.name, each.value, each.fate.value, each.words) for each in found.became]
    print_table(session, _COLUMNS, rows, "no options")
    say("policy:")
    print_json(found.policy)
    say("schedule:")
    print_json(found.schedule or {})


def _document(found: "Imported") -> dict[str, Any]:
    options = [{"option": b.name, "value": b.value, "fate": b.fate.value, "words": b.words} for b in found.became]
    return {"schema": "v1", "options": options, "policy": found.policy, "schedule": found.schedule}


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise BadInput(f"cannot read {file}: {getattr(e, 'strerror', None) or 'not a text file'}") from e
