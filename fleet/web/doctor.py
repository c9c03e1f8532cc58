"""The route of the doctor: the database, the broker, the scheduler, and every condition of the catalogue."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from fleet.api.doctor import Check, Diagnosis, Grade
from fleet.controller import conditions, home_pulse, keys, pulse
from fleet.controller.condition import CENTRE, Condition, Severity
from fleet.controller.condition_catalogue import CATALOGUE
from fleet.controller.home_pulse import HomeState
from fleet.controller.mirror_audit import MUST_NOT_STAY
from fleet.errors import FleetError
from fleet.history.inventory import hosts
from fleet.history.upkeep import upgrade
from fleet.road.down import broker_errors
from fleet.road.up import InboxReader
from fleet.web import opt_ins
from fleet.web.callers import Reader
from fleet.web.centre import Centre, ThisCentre
from fleet.web.doctor_host import looks_at

router = APIRouter(tags=["doctor"])

TICK_LATE_S = 60
"""Seconds without a tick after which the scheduler counts as dead."""
_SAID = ("host-silent", "host-never-joined", "two-agents")
"""Conditions that are told of one host in other words."""
HOST_PROBLEM = "host-problem"
"""The condition under which what hosts tell of themselves is found; each has a code of its own here."""
_GRADES = {Severity.ERROR: Grade.FAIL, Severity.WARNING: Grade.WARN, Severity.INFO: Grade.WARN}


@router.get("/doctor")
def examine(centre: ThisCentre, _: Reader, host: Annotated[str, Query(max_length=200)] = "") -> Diagnosis:
    """Look at the centre and at what the hosts told of themselves; or at one host alone, in full."""
    return Diagnosis(checks=tuple(_of_host(centre, host) if host else _checks(centre)))


def _of_host(centre: Centre, name: str) -> Iterator[Check]:
    row = hosts.host(centre.db, name)
    yield from looks_at(centre.db, row.name)
    for found in conditions.active(centre.db):
        if found.subject == row.name and found.code not in _SAID:
            yield _host_problem(found) if found.code == HOST_PROBLEM else _condition(found)


def _checks(centre: Centre) -> Iterator[Check]:
    database = _database(centre)
    yield database
    broker, waiting = _broker(centre)
    yield from broker
    yield _scheduler(centre)
    yield _key(centre)
    if centre.settings.mqtt.url:
        yield _home(centre)
    if database.grade is Grade.FAIL:
        yield Check(id="hosts", grade=Grade.SKIP, text="hosts and conditions: the database must answer first")
        return
    yield _hosts(centre)
    yield opt_ins.hooks(centre.db)
    yield opt_ins.hosts_toml(centre.db)
    found = conditions.active(centre.db, inbox_waiting=waiting)
    for kind in CATALOGUE:
        mine = [condition for condition in found if condition.code == kind.code]
        if kind.code in ("scheduler-late", "home-untold"):
            continue  # looked at above, where they pass too
        yield from map(_host_problem if kind.code == HOST_PROBLEM else _condition, mine)
        if not mine:
            text = f"looked for and not found: {kind.title[0].lower()}{kind.title[1:]}"
            yield Check(id=kind.code, grade=Grade.PASS, text=text, absent=True)


def _database(centre: Centre) -> Check:
    began = time.monotonic()
    try:
        upgrade.require_head(centre.db)
    except FleetError as e:
        fix = "fleet db upgrade" if "db upgrade" in str(e) else "start it, and see FLEET_DATABASE_URL"
        return Check(id="database", grade=Grade.FAIL, text=str(e), fix=fix)
    took = round((time.monotonic() - began) * 1000)
    return Check(
        id="database", grade=Grade.PASS, text=f"{centre.db.dialect} answers in {took} ms and has this program's shape"
    )


def _broker(centre: Centre) -> tuple[list[Check], int | None]:
    """Look at the broker; return the checks, and how many messages wait in the inbox where that is known."""
    try:
        address = centre.settings.broker_address()
    except FleetError as e:
        return [Check(id="broker", grade=Grade.FAIL, text=str(e), fix="set FLEET_BROKER_URL")], None
    client, reader = address.client(), InboxReader(address)
    try:
        with broker_errors(address):
            facts: dict[str, Any] = client.info()
            waiting = reader.length()
    except FleetError as e:
        fix = "start it, and see FLEET_BROKER_URL"
        skipped = Check(id="broker.memory", grade=Grade.SKIP, text="what the broker forgets: it must answer first")
        return [Check(id="broker", grade=Grade.FAIL, text=str(e), fix=fix), skipped], None
    finally:
        client.close()
        reader.close()
    text = f"{address} answers, version {facts.get('redis_version', '?')}, {waiting} messages wait to be read"
    return [Check(id="broker", grade=Grade.PASS, text=text), _memory(str(facts.get("maxmemory_policy", "")))], waiting


def _memory(policy: str) -> Check:
    if policy == "noeviction":
        return Check(id="broker.memory", grade=Grade.PASS, text="the broker forgets nothing (noeviction)")
    return Check(
        id="broker.memory",
        grade=Grade.FAIL,
        text=f"the broker may forget orders: its maxmemory-policy is {policy or 'not known'}",
        cause="where memory gets scarce, such a broker drops keys, and with them orders and outcomes",
        fix="redis-cli CONFIG SET maxmemory-policy noeviction, and the same in redis.conf",
    )


def _scheduler(centre: Centre) -> Check:
    last = pulse.last(centre.settings.state_dir)
    fix = "look at the logs of planner and beat; start them with: fleet controller"
    if last is None:
        text = "no tick of the planner is known on this machine"
        return Check(id="scheduler", grade=Grade.WARN, text=text, cause="it never ran, or runs elsewhere", fix=fix)
    age = max(0, round((datetime.now(UTC) - last).total_seconds()))
    grade = Grade.FAIL if age > TICK_LATE_S else Grade.PASS
    return Check(
        id="scheduler", grade=grade, text=f"the planner last ticked {age} s ago", fix=fix if grade is Grade.FAIL else ""
    )


def _key(centre: Centre) -> Check:
    try:
        known = keys.public_keys(centre.settings.state_dir)
    except FleetError as e:
        return Check(id="key", grade=Grade.FAIL, text=str(e), fix="start the planner: fleet controller")
    return Check(id="key", grade=Grade.PASS, text=f"orders are signed with {known[0].kid[:12]}")


def _home(centre: Centre) -> Check:
    found = home_pulse.last(centre.settings.state_dir)
    logs = "look at the log of the process mqtt; start it with: fleet controller"
    if found is None:
        text = "nothing is known on this machine of how Home Assistant is told"
        return Check(id="mqtt", grade=Grade.WARN, text=text, cause="it never was, or is elsewhere", fix=logs)
    if found.silent(datetime.now(UTC)):
        text = f"Home Assistant is told nothing: the process mqtt was last heard of at {found.at:%Y-%m-%d %H:%M:%S} UTC"
        return Check(id="mqtt", grade=Grade.WARN, text=text, fix=logs)
    if found.state in (HomeState.AWAY, HomeState.REFUSED):
        fix = "is it up, and may Fleet log in and write there? see the settings FLEET_MQTT_..."
        return Check(
            id="mqtt", grade=Grade.WARN, text=f"since {found.since:%Y-%m-%d %H:%M} UTC: {found.reason}", fix=fix
        )
    told = (
        found.reason
        or f"Home Assistant is told of {found.hosts} host{'s'[: found.hosts != 1]}, by {centre.settings.mqtt.url}"
    )
    return Check(id="mqtt", grade=Grade.PASS, text=told)


def _hosts(centre: Centre) -> Check:
    rows = hosts.hosts(centre.db)
    if not rows:
        return Check(id="hosts", grade=Grade.WARN, text="there is no host yet", fix="fleet host add NAME")
    now = centre.db.now()
    online = sum(not row.silent(now) for row in rows)
    grade = Grade.PASS if online else Grade.WARN
    return Check(id="hosts", grade=grade, text=f"{online} of {len(rows)} hosts were heard of lately")


def _condition(condition: Condition) -> Check:
    subject = "" if condition.subject == CENTRE else condition.subject
    text = condition.text.removeprefix(f"{subject}: ")
    fix = "" if condition.remedy == "see: fleet doctor" else condition.remedy
    return Check(id=condition.code, grade=_GRADES[condition.severity], text=text, cause="", fix=fix, subject=subject)


def _host_problem(condition: Condition) -> Check:
    """Return what a host told of itself, under its own code: ``code: cannot ...; what to do``."""
    code, _, told = condition.text.removeprefix(f"{condition.subject}: ").partition(": ")
    text, _, fix = told.partition("; ")
    grade = Grade.FAIL if code in MUST_NOT_STAY else _GRADES[condition.severity]
    return Check(id=code, grade=grade, text=text, fix=fix, subject=condition.subject)
