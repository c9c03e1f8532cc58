"""The log lines about mirrors, as constant phrases with fields."""

import logging
from collections.abc import Sequence

from fleet.mirrors.source import MirrorRule
from fleet.mirrors.sources import HostMirrors

log = logging.getLogger(__name__)

CONFIGURED = "Registry Mirrors:"
PULLED = "pulled image from mirror"
TRYING_NEXT = "mirror failed, trying next"
PROVED = "bytes proved"


def announce(mirrors: HostMirrors) -> None:
    """Say which mirrors this host has of its own, and what is wrong with them; once, when the agent starts."""
    log.info(CONFIGURED, extra={"mirrors": _written(mirrors.rules), "insecure": list(mirrors.insecure)})
    for problem in mirrors.problems:
        code, _, text = problem.partition(": ")
        log.warning("mirror configuration has a problem", extra={"code": code, "reason": text})


def _written(rules: Sequence[MirrorRule]) -> list[str]:
    """Return each mirror as ``registry -> endpoint (file)``."""
    return [f"{rule.for_registry} -> {rule.endpoint} ({rule.where})" for rule in rules]
