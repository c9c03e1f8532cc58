"""Whose fault a failed update is, and whether its host is tried again by itself."""

from collections.abc import Collection
from dataclasses import dataclass

from fleet.rollouts.spec import TrySpec
from fleet.rollouts.states import FailureClass
from fleet.updates.outcome import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """One update that went wrong, as far as its fault can be told from it."""

    result: Result
    pulled: bool | None
    """Whether its pull succeeded; None: it needed none, or nothing is known of it."""
    created: bool
    """Whether the new container was made."""
    interrupted: bool = False
    """Whether the agent ended in the middle of it; one of an earlier release does not tell."""


def failure_of(failed: Failed) -> FailureClass:
    """Return whose fault it is: bytes that did not come, an engine that said no, or the release itself."""
    if failed.interrupted:
        # The image had no chance to fail. Where not even the old container came back, another try helps nobody.
        return FailureClass.ENGINE if failed.result is Result.ROLLBACK_FAILED else FailureClass.INFRASTRUCTURE
    if failed.result in (Result.ROLLED_BACK, Result.ROLLBACK_FAILED):
        return FailureClass.RELEASE
    if failed.pulled is False:
        return FailureClass.INFRASTRUCTURE
    # The engine refused even to make the container, or the host tried again and again without coming to an end.
    return FailureClass.RELEASE if failed.created else FailureClass.ENGINE


def worst(classes: Collection[FailureClass]) -> FailureClass:
    """Return the one class of a host of which several updates failed: what concerns the release comes first."""
    order = (FailureClass.RELEASE, FailureClass.ENGINE, FailureClass.INFRASTRUCTURE, FailureClass.TIMEOUT)
    return next(each for each in order if each in classes)


def tried_again(failure: FailureClass, tries: int, spec: TrySpec) -> bool:
    """Tell whether a host whose try number *tries* failed so gets another one by itself."""
    return failure in spec.retry_on and tries < spec.max
