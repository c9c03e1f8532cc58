"""A global mirror that knows nothing of a registry is not asked for it again and again."""

import pytest

from fleet.images.reference import Reference
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.source import Role, Source
from fleet.mirrors.strangers import SKIPPED_S, Strangers
from fleet.testing.clock import ManualClock

REFUSALS = [AttemptResult.NOT_FOUND, AttemptResult.UNAUTHORIZED, AttemptResult.NOT_FOUND]


def source(for_registry: str = "*") -> Source:
    """Return a mirror."""
    (rule,) = parse_mirrors([{"for": for_registry, "url": "http://mirror.lan"}])
    return Source(endpoint=rule.endpoint, role=Role.MIRROR, rule=rule)


def refuse(strangers: Strangers, mirror: Source, names: list[str]) -> None:
    """Let *mirror* refuse each of *names*."""
    for name, result in zip(names, REFUSALS, strict=False):
        strangers.failed(mirror, Reference.parse(name), result)


THREE = ["ghcr.io/a/a", "ghcr.io/b/b", "ghcr.io/c/c"]


def test_three_repositories_refused_are_a_registry_unknown_for_a_day() -> None:
    clock = ManualClock()
    strangers, mirror = Strangers(clock), source()
    refuse(strangers, mirror, THREE[:2])
    assert not strangers.of(Reference.parse(THREE[0]))
    refuse(strangers, mirror, THREE)
    assert list(strangers.of(Reference.parse("ghcr.io/d/d"))) == ["http://mirror.lan"]
    assert not strangers.of(Reference.parse("quay.io/d/d"))
    clock.advance(SKIPPED_S)
    assert not strangers.of(Reference.parse(THREE[0]))


def test_it_can_be_forgotten() -> None:
    strangers = Strangers(ManualClock())
    refuse(strangers, source(), THREE)
    strangers.forget()
    assert not strangers.of(Reference.parse(THREE[0]))


@pytest.mark.parametrize(
    ("names", "for_registry"),
    [
        (["a/a", "b/b", "c/c"], "*"),
        (THREE, "ghcr.io"),
        (["ghcr.io/a/a"] * 3, "*"),
        (["ghcr.io/a/a", "quay.io/b/b", "ghcr.io/c/c"], "*"),
    ],
    ids=["docker hub", "a mirror of that registry", "one repository", "two registries"],
)
def test_what_does_not_make_a_stranger(names: list[str], for_registry: str) -> None:
    strangers = Strangers(ManualClock())
    refuse(strangers, source(for_registry), names)
    assert not any(strangers.of(Reference.parse(name)) for name in names)


def test_who_served_once_is_none() -> None:
    strangers, mirror = Strangers(ManualClock()), source()
    strangers.served(mirror, Reference.parse("ghcr.io/x/x"))
    refuse(strangers, mirror, THREE)
    assert not strangers.of(Reference.parse(THREE[0]))


def test_other_failures_say_nothing_of_what_it_has() -> None:
    strangers, mirror = Strangers(ManualClock()), source()
    for name in THREE:
        strangers.failed(mirror, Reference.parse(name), AttemptResult.TIMEOUT)
    assert not strangers.of(Reference.parse(THREE[0]))
