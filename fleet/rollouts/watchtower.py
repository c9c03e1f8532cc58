"""Turn the options of a Watchtower into a policy and a schedule, and say of each what became of it. Pure.

Nothing is guessed: what cannot be taken over is named, and where leaving it out would update more than Watchtower did,
the whole is not to be applied.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleet.errors import BadInput
from fleet.rollouts.cron import check_cron
from fleet.rollouts.watchtower_options import BY_ENV, BY_FLAG, BY_SHORT, Fate, Option
from fleet.rollouts.watchtower_times import DEFAULT_INTERVAL_S, Times, of_interval, of_schedule
from fleet.updates.labels import duration_ms
from fleet.updates.snapshot import STEERING_LABELS

_TRUE = ("1", "t", "true")
_OWN_ENV = "WATCHTOWER_"
"""How variables begin that can only be meant for Watchtower; others (``PATH``) are looked at only where they are known."""
_SIGNS = re.compile(r"[\\^$+?()\[\]{}|]")
"""What makes a pattern more than a glob."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Became:
    """One option that was given, and what became of it."""

    name: str
    """As it was written: ``--cleanup`` or ``WATCHTOWER_CLEANUP``."""
    value: str
    """A secret is not repeated."""
    fate: Fate
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a Watchtower's options mean here."""

    policy: dict[str, Any]
    """The keys of the policy that it sets."""
    schedule: dict[str, str] | None
    """``cron``, ``zone`` and ``action``; None: it ran once and ended."""
    became: tuple[Became, ...]

    @property
    def refusals(self) -> tuple[Became, ...]:
        """What keeps it from being applied."""
        return tuple(each for each in self.became if each.fate is Fate.REFUSED)


@dataclass(slots=True)
class Given:
    """Options as they were read: from flags, an environment, or both; flags win."""

    options: dict[str, tuple[str, str]] = field(default_factory=dict)
    """flag -> (as it was written, value)."""
    zone: str = ""
    names: list[str] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)

    def add_environment(self, pairs: Mapping[str, str]) -> None:
        """Take the variables that are Watchtower's; a flag that was given already wins."""
        for name, value in pairs.items():
            known = BY_ENV.get(name) or BY_ENV.get(name.upper())
            if name == "TZ":
                self.zone = value
            elif known is not None:
                self.options.setdefault(known.flag, (name, value))
            elif name.startswith(_OWN_ENV):
                self.unknown.append((name, value))

    def add_flags(self, words: Sequence[str]) -> None:
        """Take a command line; raises BadInput where a flag lacks its value."""
        left = list(words)
        while left:
            word = left.pop(0)
            if not word.startswith("-") or word == "-":
                self.names.append(word)
            elif word.startswith("--"):
                self._flag(word, left)
            else:
                self._short(word, left)

    def _flag(self, word: str, left: list[str]) -> None:
        flag, equals, value = word.removeprefix("--").partition("=")
        self._take(BY_FLAG.get(flag), f"--{flag}", value if equals else None, left)

    def _short(self, word: str, left: list[str]) -> None:
        """Take ``-R``, ``-i 300``, ``-i300``, or switches together: ``-dR``."""
        option, rest = BY_SHORT.get(word[1]), word[2:]
        if option is not None and option.switch and rest:
            left.insert(0, f"-{rest}")
            rest = ""
        self._take(option, word[:2], rest.removeprefix("=") or None, left)

    def _take(self, option: Option | None, written: str, value: str | None, left: list[str]) -> None:
        if option is None:
            self.unknown.append((written, value or ""))
            return
        if value is None and option.switch:
            value = "true"
        if value is None:
            if not left:
                raise BadInput(f"cannot read Watchtower's flags: {written} lacks its value")
            value = left.pop(0)
        before = self.options.get(option.flag)
        repeated = before is not None and before[0].startswith("-") and not option.switch
        self.options[option.flag] = (written, f"{before[1]},{value}" if before and repeated else value)


def read_environment(text: str) -> dict[str, str]:
    """Return the variables of an env file: ``NAME=VALUE`` a line, ``#`` before a comment, quotes around a value."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            found[name.strip()] = value.strip().strip("\"'")
    return found


def read_inspect(text: str) -> Given:
    """Return the options of the container whose ``docker inspect`` *text* is; raises BadInput where it is none."""
    try:
        document = json.loads(text)
        one = document[0] if isinstance(document, list) and len(document) == 1 else document
        environment = [str(each) for each in one["Config"].get("Env") or ()]
        words = [str(each) for each in one["Config"].get("Cmd") or ()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput("cannot use it as the inspect of one container; write it with: docker inspect NAME") from None
    given = Given()
    given.add_flags(words)
    given.add_environment(dict(each.partition("=")[::2] for each in environment))
    return given


def turn(given: Given) -> Imported:
    """Return what *given* means here; raises BadInput for a value that Watchtower itself would not take."""
    return _Turning(given).turn()


class _Turning:
    def __init__(self, given: Given) -> None:
        self._given = given
        self._select: dict[str, Any] = {}
        self._became: list[Became] = []

    def turn(self) -> Imported:
        on = self._on
        policy: dict[str, Any] = {}
        if on("cleanup", "remove_old_image = true"):
            policy["remove_old_image"] = True
        hooks = [on(flag, "hooks = true") for flag in ("lifecycle-hooks", "enable-lifecycle-hooks")]
        if any(hooks):
            policy["hooks"] = True
        if on("label-enable", "select.only_enabled = true"):
            self._select["only_enabled"] = True
        if on("monitor-only", "select.monitor_only = true"):
            self._select["monitor_only"] = True
        if on("no-pull", "select.monitor_only = true: updates come from registries, so it is told of them alone"):
            self._select["monitor_only"] = True
        if on("label-take-precedence", "select.labels_win = true"):
            self._select["labels_win"] = True
        self._scope()
        self._lists()
        if (age := self._value("cooldown-delay")) and duration_ms(age) is not None:
            least = _whole(duration_ms(age) or 0)
            policy |= {"resolve": {"min_age": least}} if least else {}
            told = f'resolve.min_age = "{least}", from when Fleet first saw it' if least else "off, as it is here"
            self._tell("cooldown-delay", Fate.POLICY, told)
        schedule = self._schedule()
        self._rest()
        if self._select:
            policy["select"] = self._select
        return Imported(policy=policy, schedule=schedule, became=tuple(self._became))

    def _value(self, flag: str) -> str:
        return self._given.options.get(flag, ("", ""))[1].strip()

    def _on(self, flag: str, words: str) -> bool:
        if flag not in self._given.options:
            return False
        on = self._value(flag).lower() in _TRUE
        self._tell(flag, BY_FLAG[flag].fate, words if on else "off, as it is here")
        return on

    def _tell(self, flag: str, fate: Fate, words: str) -> None:
        written, value = self._given.options[flag]
        shown = "(not repeated)" if BY_FLAG[flag].secret and value else value
        self._became.append(Became(name=written, value=shown, fate=fate, words=words))

    def _scope(self) -> None:
        if scope := self._value("scope"):
            self._select["scopes"] = [scope]
            self._tell("scope", Fate.POLICY, f'select.scopes = ["{scope}"]')

    def _lists(self) -> None:
        if self._given.names:
            globs, cannot = _globs(self._given.names)
            told = f"select.include.names = {json.dumps(globs)}"
            self._put("include", "names", globs)
            fate, words = (Fate.REFUSED, cannot) if cannot else (Fate.POLICY, told)
            self._became.append(Became(name="names", value=" ".join(self._given.names), fate=fate, words=words))
        for flag, way, key in (
            ("disable-containers", "exclude", "names"),
            ("monitor-image-names", "include", "images"),
            ("skip-image-names", "exclude", "images"),
        ):
            if values := [each for each in re.split(r"[,\s]+", self._value(flag)) if each]:
                globs, cannot = _globs(values)
                self._put(way, key, globs)
                told = f"select.{way}.{key} = {json.dumps(globs)}"
                self._tell(flag, Fate.REFUSED if cannot else Fate.POLICY, cannot or told)
        for flag, way in (("enable-containers-by-label", "include"), ("disable-containers-by-label", "exclude")):
            if value := self._value(flag):
                labels, cannot = _labels(value)
                self._put(way, "labels", labels)
                told = f"select.{way}.labels = {json.dumps(labels)}"
                self._tell(flag, Fate.REFUSED if cannot else Fate.POLICY, cannot or told)

    def _put(self, way: str, key: str, value: Any) -> None:
        self._select.setdefault(way, {})[key] = value

    def _schedule(self) -> dict[str, str] | None:
        zone = self._given.zone or "UTC"
        watched = self._select.get("monitor_only") and not self._select.get("labels_win")
        action = "tell" if watched else "apply"
        if self._on("run-once", "no schedule: it ran once; here that is: fleet update HOST"):
            return None
        if "schedule" in self._given.options and "interval" in self._given.options:
            raise BadInput("cannot take over a schedule and an interval; Watchtower takes only one of them")
        times, flag = self._times()
        check_cron(times.cron, zone)
        told = f"cron {times.cron} ({zone}), action {action}" + (f"; {times.differs}" if times.differs else "")
        if flag:
            self._tell(flag, Fate.SCHEDULE, told)
        else:
            told = f"{told}, since Watchtower looks daily where nothing is said"
            self._became.append(Became(name="(no schedule)", value="", fate=Fate.SCHEDULE, words=told))
        if self._given.zone:
            self._became.append(Became(name="TZ", value=zone, fate=Fate.SCHEDULE, words=f"zone {zone}"))
        return {"cron": times.cron, "zone": zone, "action": action}

    def _times(self) -> tuple[Times, str]:
        if written := self._value("schedule"):
            return of_schedule(written), "schedule"
        if not (seconds := self._value("interval")):
            return of_interval(DEFAULT_INTERVAL_S), ""
        if not seconds.isdigit():
            raise BadInput(f"cannot use {seconds!r} as Watchtower's interval; expected seconds")
        return of_interval(int(seconds)), "interval"

    def _rest(self) -> None:
        """Tell of what has one fate whatever its value, and of what nobody documents."""
        told = {each.name for each in self._became}
        for flag, (written, _) in self._given.options.items():
            if written not in told:
                option = BY_FLAG[flag]
                self._tell(flag, option.fate, option.words or "nothing to set")
        for name, value in self._given.unknown:
            words = "Watchtower's documentation does not name it"
            self._became.append(
                Became(name=name, value="(not repeated)" if value else "", fate=Fate.UNKNOWN, words=words)
            )


def _whole(ms: int) -> str:
    """Return a duration in whole minutes, the next longer ones; empty for none."""
    return f"{-(-ms // 60_000)}m" if ms else ""


def _globs(patterns: Sequence[str]) -> tuple[list[str], str]:
    """Return names or simple patterns as globs, and why not; Watchtower takes regular expressions."""
    globs: list[str] = []
    for pattern in patterns:
        glob = pattern.lstrip("/").removeprefix("^").removesuffix("$").replace(r"\.", ".").replace(".*", "*")
        if _SIGNS.search(glob):
            return globs, f"cannot turn the regular expression {pattern} into a glob; write select by hand"
        globs.append(glob)
    return globs, ""


def _labels(text: str) -> tuple[dict[str, str], str]:
    """Return labels of containers, and why not: the centre knows those that steer updates alone."""
    found: dict[str, str] = {}
    for pair in filter(None, (each.strip() for each in text.split(","))):
        key, _, value = pair.partition("=")
        if not key.startswith(STEERING_LABELS):
            return (
                found,
                f"cannot choose by the label {key}: agents tell of fleet.* and Watchtower's labels; set one of those",
            )
        if key in found and found[key] != value:
            return found, f"cannot choose by two values of the label {key}; write select by hand"
        found[key] = value
    return found, ""
