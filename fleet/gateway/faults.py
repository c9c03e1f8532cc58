"""What follows from what sources failed by: who is asked again, after how long, and who lied where several gave the bytes."""

import logging
from dataclasses import dataclass, field

from fleet.gateway.sink import Segment, Sink
from fleet.gateway.verdict import Verdict
from fleet.gateway.wanted import Means, Wanted
from fleet.mirrors.announce import TRYING_NEXT
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.source import Role, Source

log = logging.getLogger(__name__)

_PASSING = frozenset(
    {
        AttemptResult.CUT,
        AttemptResult.SLOW,
        AttemptResult.UNREACHABLE,
        AttemptResult.SERVER_ERROR,
        AttemptResult.RATE_LIMITED,
    }
)
"""What may go well in the next round. A timeout is not among them: it would cost its ten seconds once more."""


@dataclass(slots=True, kw_only=True)
class Faults:
    """What the sources of one fetch failed by."""

    wanted: Wanted
    means: Means
    useless: dict[str, str] = field(default_factory=dict)
    """Sources that cannot give this, and why."""
    rest_s: float = 0.0
    """The shortest Retry-After of this round; whoever begins a round sets it to 0."""
    _suspects: list[tuple[Segment, str]] = field(default_factory=list)
    """Bytes of a mixture that was wrong, with their fingerprints."""

    def blame(self, source: Source, verdict: Verdict, *, waited_s: float, gave: bool) -> None:
        """Take note of a failure, for which was *waited_s* in vain, and of what follows from it for *source*.

        *gave*: whether bytes are here that need not be asked for again.
        """
        means, name = self.means, source.name
        means.ledger.failed(name, verdict)
        means.breakers.failed(
            name, self.wanted.kind, verdict.result, retry_after_s=verdict.retry_after_s, waited_s=waited_s
        )
        means.strangers.failed(source, self.wanted.reference, verdict.result)
        if verdict.result is AttemptResult.NOT_FOUND:
            means.breakers.missing(name, str(self.wanted.digest), verdict.reason)
        if not self._may_recover(verdict, gave=gave):
            self.useless[name] = verdict.reason
        fields = {
            "mirror": name,
            "reason": verdict.reason,
            "result": str(verdict.result),
            "image": self.wanted.reference.familiar,
            "digest": str(self.wanted.digest),
        }
        log.warning(TRYING_NEXT if source.role is Role.MIRROR else "origin failed", extra=fields)

    def suspect(self, sink: Sink) -> None:
        """Remember the wrong bytes in *sink*, which several gave: nobody is to blame yet."""
        self._suspects = [(segment, sink.fingerprint(segment)) for segment in sink.segments]

    def settle(self, sink: Sink) -> None:
        """Find out, by the proved bytes in *sink*, who gave wrong ones to a mixture before."""
        lied = {segment.source for segment, print_ in self._suspects if sink.fingerprint(segment) != print_}
        verdict = Verdict(result=AttemptResult.WRONG_BYTES, reason="its bytes do not have the digest")
        for name in sorted(lied):
            self.means.ledger.failed(name, verdict)
            self.means.breakers.failed(name, self.wanted.kind, verdict.result)

    def _may_recover(self, verdict: Verdict, *, gave: bool) -> bool:
        """Tell whether this source may be asked again in a later round."""
        if verdict.result is AttemptResult.RATE_LIMITED or verdict.retry_after_s is not None:
            wait_s = verdict.retry_after_s or self.means.limits.pause_s
            if wait_s > self.means.limits.longest_retry_after_s:
                return False
            self.rest_s = min(self.rest_s or wait_s, wait_s)
        return (gave and verdict.result is AttemptResult.STALLED) or verdict.result in _PASSING
