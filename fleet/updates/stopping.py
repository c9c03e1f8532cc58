"""How an old container is told to end, where its labels say otherwise than the container itself. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from signal import Signals

from fleet.errors import BadInput
from fleet.updates.labels import duration_ms, label

SIGNAL_LABEL, TIMEOUT_LABEL = "stop-signal", "stop-timeout"
LONGEST_TIMEOUT_S = 3600
_FURTHER = re.compile(r"RTMIN\+\d{1,2}|RTMAX-\d{1,2}|[1-9]\d?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """What a stop is asked for with."""

    signal: str = ""
    """Empty: the container's own StopSignal."""
    timeout_s: int | None = None
    """How long it may take before it is killed; None: the container's own StopTimeout."""


def stopping(labels: Mapping[str, str]) -> Stopping:
    """Return what *labels* say; raise BadInput where one cannot be read."""
    signal, timeout = label(labels, SIGNAL_LABEL).upper(), label(labels, TIMEOUT_LABEL)
    name = signal.removeprefix("SIG")
    if signal and f"SIG{name}" not in Signals.__members__ and not _FURTHER.fullmatch(name):
        raise BadInput(f"cannot read the label {SIGNAL_LABEL}: it takes a signal, as SIGINT, not {signal!r}")
    if not timeout:
        return Stopping(signal=signal)
    seconds = int(timeout) if timeout.isdecimal() else -((duration_ms(timeout) or -1) // -1000)
    if not 0 <= seconds <= LONGEST_TIMEOUT_S or (not timeout.isdecimal() and seconds == 0):
        raise BadInput(f"cannot read the label {TIMEOUT_LABEL}: it takes seconds or a duration up to 1h, as 2m")
    return Stopping(signal=signal, timeout_s=seconds)
