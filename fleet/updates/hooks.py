"""Hooks: commands that a container's labels have run in it before and after its update, where the policy allows that.

Running them needs the engine's exec, a right that nothing else here has; so they are off unless a policy says otherwise.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from fleet.engine.protocol import Inspect
from fleet.errors import BadInput, EngineError, EngineUnreachable
from fleet.updates.labels import WATCHTOWER, duration_ms
from fleet.updates.run import NotNow, Run

NOT_NOW = 75
"""The exit code by which ``pre-update`` has this update left for another time (EX_TEMPFAIL of sysexits.h)."""
DEFAULT_TIMEOUT_MS = 60_000
LONGEST_TIMEOUT_MS = 3_600_000
"""What stands for Watchtower's 0, "for ever"."""
LONGEST_TOLD = 300
"""How many characters of a hook's output are told."""
_MINUTE_MS = 60_000


class Event(StrEnum):
    """When a hook is run."""

    BEFORE = "pre-update"
    """In the old container, before anything of it is touched: it can say no."""
    AFTER = "post-update"
    """In the new container, once it has been verified: it can change nothing any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One command that a label has run in its container."""

    event: Event
    command: tuple[str, ...]
    user: str = ""
    """Who runs it, ``user`` or ``uid:gid``; empty: the container's own user."""
    timeout_ms: int = DEFAULT_TIMEOUT_MS


def hook_of(labels: Mapping[str, str], event: Event) -> Hook | None:
    """Return the hook that *labels* have for *event*; raise BadInput where one cannot be read.

    ``fleet.hook.*`` wins over Watchtower's ``lifecycle.*``. A command is a line for ``sh -c``, or a JSON list of words.
    """
    ours, theirs = labels.get(f"fleet.hook.{event}", ""), labels.get(f"{WATCHTOWER}lifecycle.{event}", "")
    line = (ours or theirs).strip()
    if not line:
        return None
    return Hook(event=event, command=_command(line, event), user=_user(labels), timeout_ms=_timeout_ms(labels, event))


def check_hooks(labels: Mapping[str, str]) -> None:
    """Raise BadInput where a hook of *labels* cannot be read."""
    for event in Event:
        hook_of(labels, event)


def forbidden(old: Inspect) -> str:
    """Return what is to be told of the hooks of *old* where the policy does not allow them, or empty."""
    labels = old["Config"].get("Labels") or {}
    named = [event for event in Event if hook_of(labels, event) is not None]
    return f"its hooks were not run ({', '.join(named)}): the policy does not allow them" if named else ""


def run_before(run: Run) -> None:
    """Run the hooks of the old containers; raise NotNow where one ends with 75, EngineError where it ends otherwise."""
    for name, old in _members(run):
        hook = _allowed(run, old, Event.BEFORE)
        if hook is None:
            continue
        code, told = _run(run, str(old["Id"]), hook)
        if code == NOT_NOW:
            raise NotNow(f"cannot update {name} now: its hook {hook.event} ended with code {NOT_NOW}{told}")
        if code != 0:
            raise EngineError(f"cannot update {name}: its hook {hook.event} {_ended(code)}{told}")


def run_after(run: Run) -> str:
    """Run the hooks of the new containers; return what went wrong, or empty. The update stands whatever they say."""
    wrong: list[str] = []
    new = {run.target.container: run.entry.new_id} | {each.name: each.new_id for each in run.entry.followers}
    for name, old in _members(run):
        try:
            found = run.engine.inspect(new[name]) or old
            hook = _allowed(run, found, Event.AFTER)
            code, told = _run(run, new[name], hook) if hook else (0, "")
        except (EngineError, EngineUnreachable, BadInput) as error:
            wrong.append(f"the hook {Event.AFTER} of {name} was not run: {error}")
            continue
        if code != 0:
            wrong.append(f"the hook {Event.AFTER} of {name} {_ended(code)}{told}")
    return "; ".join(wrong)


def left_undone(run: Run) -> str:
    """Return what is to be told of the hooks after the update that a crash may have kept from running, or empty."""
    named = [name for name, old in _members(run) if _allowed(run, old, Event.AFTER)]
    return (
        f"the agent was interrupted, so the hook {Event.AFTER} of {', '.join(named)} may not have run" if named else ""
    )


def _members(run: Run) -> Iterator[tuple[str, Inspect]]:
    """Yield name and old inspect of the container and of those who go with it and run."""
    yield run.target.container, run.entry.old
    yield from ((each.name, each.old) for each in run.entry.followers if each.runs)


def _allowed(run: Run, inspect: Inspect, event: Event) -> Hook | None:
    return hook_of(inspect["Config"].get("Labels") or {}, event) if run.entry.policy.hooks else None


def _run(run: Run, container: str, hook: Hook) -> tuple[int | None, str]:
    run.progress(hook.event)
    ended = run.engine.execute(container, hook.command, user=hook.user, timeout_s=hook.timeout_ms / 1000)
    output = " ".join(ended.output.split())
    told = output if len(output) <= LONGEST_TOLD else output[: LONGEST_TOLD - 1] + "…"
    return ended.code, f": {told}" if told else ""


def _ended(code: int | None) -> str:
    return "did not end in its time" if code is None else f"ended with code {code}"


def _command(line: str, event: Event) -> tuple[str, ...]:
    if not line.startswith("["):
        return ("sh", "-c", line)
    try:
        words = json.loads(line)
    except ValueError:
        words = None
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise BadInput(f"cannot read the label fleet.hook.{event}: it takes a line for sh, or a JSON list of words")
    return tuple(words)


def _user(labels: Mapping[str, str]) -> str:
    uid, gid = (labels.get(f"{WATCHTOWER}lifecycle.{part}", "").strip() for part in ("uid", "gid"))
    theirs = f"{uid}:{gid}" if uid and gid else uid
    return labels.get("fleet.hook.user", "").strip() or theirs


def _timeout_ms(labels: Mapping[str, str], event: Event) -> int:
    """Return the time limit: ``fleet.hook.timeout`` (``90s``), or Watchtower's whole minutes."""
    ours, theirs = labels.get("fleet.hook.timeout"), labels.get(f"{WATCHTOWER}lifecycle.{event}-timeout")
    if ours is None and theirs is None:
        return DEFAULT_TIMEOUT_MS
    if ours is None and theirs is not None and theirs.strip().isdecimal():
        return min(int(theirs) * _MINUTE_MS, LONGEST_TIMEOUT_MS) or LONGEST_TIMEOUT_MS
    found = duration_ms(ours) if ours is not None else None
    if not found or found > LONGEST_TIMEOUT_MS:
        raise BadInput("cannot read the time limit of its hooks: fleet.hook.timeout takes a duration up to 1h, as 90s")
    return found
