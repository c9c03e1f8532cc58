"""``make demo``: the main job on real engines, from a newer image in the registry to the history of what was done.

Three engines of different generations (four where engine 29 is there), an origin that is Docker Hub to them, three mirrors
(one dead, one that serves wrong bytes, one good), Redis with TLS and ACLs, PostgreSQL, the central processes, and one
agent on each host, all as separate processes. Each claim that is printed is checked, and a wrong one ends the demo.

``make demo STAY=1`` leaves the fleet running at the end, for whoever wants to look around; ``STAY=now`` does so at once.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

from fleet.errors import FleetError
from tests.lab.claims import check, expect, outcomes, running_version, show_round
from tests.lab.lab import Host, Lab
from tests.lab.machines import eventually
from tests.lab.report import heading, line, table
from tests.lab.stage import APPS, WEB, Stage, configure, recipe, set_up, show_fleet
from tests.lab.staying import stay

SCHEDULE = "nightly"


def main(stays: str = "") -> int:
    """Run the demo, and leave the fleet running where it *stays*: at the end, or ``now``. Return the exit code."""
    if os.geteuid() != 0:
        print("cannot run the demo without root: it makes network namespaces; try: sudo make demo", file=sys.stderr)
        return 2
    try:
        with Lab() as lab:
            stage = Stage(lab)
            try:
                set_up(stage)
                show_fleet(stage)
                if stays != "now":
                    _play(stage)
                    heading("done: everything above was checked against the engines and the registries' own logs")
                if stays:
                    stay(stage)
            except Exception:
                _show_logs(stage)
                raise
    except FleetError as error:
        print(f"\nthe demo failed: {error}", file=sys.stderr)
        return 1
    return 0


def _play(stage: Stage) -> None:
    first = _new_version(stage, "2")
    _set_schedule(stage, stage.hosts[0])
    _update_by_hand(stage, stage.hosts[1], stage.hosts[2:])
    _await_schedule(stage, stage.hosts[0])
    show_round(stage, "first round: the good mirror is the third", first, "2", good=stage.mirrors[2])
    _roll_back(stage)
    _other_mirrors(stage)
    second = _new_version(stage, "4")
    _update_all(stage)
    show_round(stage, "second round: the good mirror is the second", second, "4", good=stage.mirrors[1])
    _in_waves(stage)
    _stopped_at_the_canary(stage)


def _new_version(stage: Stage, version: str) -> dict[str, str]:
    """Push one more version of both images; return what their tags have now."""
    heading(f"version {version} is pushed to the origin")
    pushed = {app: str(stage.origin.push(f"acme/{app}", "stable", recipe(app, version))) for app in APPS}
    table(["IMAGE", "DIGEST"], [[f"acme/{app}:stable", digest] for app, digest in pushed.items()])
    return pushed


def _set_schedule(stage: Stage, host: Host) -> None:
    heading(f"a schedule is to update {host.name}, every minute by cron")
    every_minute = ["--cron", "* * * * *", "--action", "apply", "--host", host.name]
    _print(stage.fleet.fleet("schedule", "create", SCHEDULE, *every_minute))


def _await_schedule(stage: Stage, host: Host) -> None:
    heading(f"beat's schedule updates {host.name}")
    eventually(f"the update of {host.name} by the schedule", lambda: _done(stage, host), within_s=150, every_s=2)
    _print(stage.fleet.fleet("schedule", "show", SCHEDULE))
    stage.fleet.fleet("schedule", "rm", SCHEDULE)


def _update_by_hand(stage: Stage, host: Host, rest: Sequence[Host]) -> None:
    heading(f"a person updates {host.name}, and the rest by a plan")
    _print(stage.fleet.fleet("outdated"))
    _print(stage.fleet.fleet("update", host.name))
    if rest:
        plan = stage.lab.place.folder / "plan.json"
        chosen = [part for one in rest for part in ("--host", one.name)]
        _print(stage.fleet.fleet("plan", "--out", plan, *chosen))
        _print(stage.fleet.fleet("apply", plan))


def _update_all(stage: Stage) -> None:
    heading("a person updates the whole fleet by one plan")
    plan = stage.lab.place.folder / "plan.json"
    stage.fleet.fleet("plan", "--out", plan)
    _print(stage.fleet.fleet("apply", plan))


def _roll_back(stage: Stage) -> None:
    host = stage.hosts[-1]
    heading(f"version 3 of {WEB} fails its HEALTHCHECK: {host.name} goes back by itself")
    before = host.docker("inspect", "--format", "{{.Id}}", WEB)
    stage.origin.push(f"acme/{WEB}", "stable", recipe(WEB, "3"))
    _print(stage.fleet.fleet("update", host.name, WEB, check=False))
    told = [row for row in outcomes(stage, "--host", host.name) if row["update"]["result"] == "rolled_back"]
    check(len(told) == 1, "the history has one outcome that was rolled back")
    line(f"the history says why: {told[0]['update']['reason']}")
    check(host.docker("inspect", "--format", "{{.Id}}", WEB) == before, f"the old container itself runs again ({WEB})")
    check(running_version(host, WEB) == "2", "with version 2")
    left = host.docker("ps", "--all", "--format", "{{.Names}}").split()
    check(sorted(left) == sorted(APPS), "and nothing of the new one is left")


def _other_mirrors(stage: Stage) -> None:
    heading("every host gets three other mirrors: hill serves wrong bytes, lake is good, dale refuses connections")
    stage.mirrors = [stage.lab.lying("hill"), stage.lab.cache("lake"), stage.lab.dead("dale")]
    configure(stage)


def _in_waves(stage: Stage) -> None:
    heading(f"version 5 of {WEB} goes out in two waves: one host, and the rest once it did well for five seconds")
    stage.origin.push(f"acme/{WEB}", "stable", recipe(WEB, "5"))
    told = _roll_out(stage)
    waves = told["waves"]
    check([wave["state"] for wave in waves] == ["passed", "passed"], "both waves passed their gates")
    check(waves[0]["ended_at"] <= waves[1]["opened_at"], "the second opened when the first had passed")
    check(all(running_version(host, WEB) == "5" for host in stage.hosts), f"every host runs version 5 of {WEB}")


def _stopped_at_the_canary(stage: Stage) -> None:
    heading(f"version 6 of {WEB} fails its HEALTHCHECK: the rollout stops at its first host and touches no other")
    stage.origin.push(f"acme/{WEB}", "stable", recipe(WEB, "6"))
    told = _roll_out(stage)
    reached = [each["host"] for each in told["hosts"] if each["tries"]]
    check(len(reached) == 1, f"one host was touched: {', '.join(reached)}")
    check(told["waves"][0]["state"] == "failed", "the first wave failed its gate")
    check(all(running_version(host, WEB) == "5" for host in stage.hosts), f"every host runs version 5 of {WEB}")


def _roll_out(stage: Stage) -> Any:
    """Carry out what is new of one container in waves, and return what the centre says of the rollout."""
    spec = stage.lab.place.folder / "waves.yaml"
    spec.write_text("waves:\n  - {size: 1, soak: 5s}\n  - {size: rest, soak: 0s}\n")
    _print(stage.fleet.fleet("rollout", "start", "--spec", spec, "--container", WEB, check=False, timeout_s=240))
    newest = max(
        stage.fleet.ask("rollout", "ls")["rollouts"], key=lambda one: one["way_back_of"] is None and one["number"]
    )
    told = stage.fleet.ask("rollout", "show", newest["id"])
    _print(stage.fleet.fleet("rollout", "show", newest["id"]))
    return told


def _done(stage: Stage, host: Host) -> bool:
    """Tell whether both containers of *host* were updated by the schedule."""
    rows = stage.fleet.ask("history", "ls", "--host", host.name, "--by", f"schedule:{SCHEDULE}")["outcomes"]
    failed = [row for row in rows if row["result"] not in ("updated", "already_current")]
    expect(not failed, f"no update of {host.name} fails: {failed}")
    return {row["container"] for row in rows if row["result"] == "updated"} == set(APPS)


def _print(text: str) -> None:
    for row in text.splitlines():
        line(row)


def _show_logs(stage: Stage) -> None:
    """Print the end of every log, for whoever must find out what went wrong."""
    if stage.centre is None:
        return
    for running in (stage.centre.controller, *stage.centre.agents.values()):
        if running is not None:
            print(f"\n{running.log}:\n{running.tail()[-4000:]}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main("".join(sys.argv[1:2])))
