"""What an answer or an error of a source amounts to: the one table from HTTP and network to attempt results (pure)."""

from dataclasses import dataclass
from datetime import datetime

from fleet.errors import FleetError, RegistryError
from fleet.mirrors.attempt import AttemptResult
from fleet.registry.answer import Answer
from fleet.registry.faults import ExchangeFailed, Failure, RateLimitError
from fleet.registry.limits import retry_after_s

_BY_STATUS = {
    401: AttemptResult.UNAUTHORIZED,
    403: AttemptResult.UNAUTHORIZED,
    404: AttemptResult.NOT_FOUND,
    410: AttemptResult.NOT_FOUND,
    429: AttemptResult.RATE_LIMITED,
}
_PROXY_WANTS_LOGIN = 407
_BY_FAILURE = {
    Failure.NO_CONNECTION: AttemptResult.UNREACHABLE,
    Failure.NO_ANSWER: AttemptResult.TIMEOUT,
    Failure.STALLED: AttemptResult.STALLED,
    Failure.CUT: AttemptResult.CUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why one request to one source failed."""

    result: AttemptResult
    reason: str
    """For people; without the source's name."""
    status: int = 0
    retry_after_s: float | None = None


class SourceFailed(Exception):
    """One source did not give what it was asked for."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


def failed(result: AttemptResult, reason: str, *, status: int = 0) -> SourceFailed:
    """Return the exception for *result*."""
    return SourceFailed(Verdict(result=result, reason=reason, status=status))


def of_answer(answer: Answer, *, offset: int, ranged: bool, now: datetime) -> SourceFailed | None:
    """Return what is wrong with *answer* to a request for the bytes from *offset* on, None where it can be read."""
    status = answer.status
    if status == 200 or (status == 206 and ranged and _begins_at(answer, offset)):
        return None
    if status == 206:
        return failed(AttemptResult.PROTOCOL, "it answered with another range than was asked for", status=status)
    if status == _PROXY_WANTS_LOGIN:
        return failed(AttemptResult.UNREACHABLE, f"the proxy before it wants a login: {status}", status=status)
    result = _BY_STATUS.get(status, AttemptResult.SERVER_ERROR if status >= 500 else AttemptResult.PROTOCOL)
    wait_s = retry_after_s(answer.headers, now) if status in (429, 503) else None
    rest = f", retry after {wait_s:g} s" if wait_s is not None else ""
    return SourceFailed(
        Verdict(result=result, reason=f"it answered {status}{rest}", status=status, retry_after_s=wait_s)
    )


def of_error(error: FleetError, *, patient: bool) -> SourceFailed:
    """Return what *error* of the registry client amounts to; *patient*: it came after the time a first byte may take."""
    if isinstance(error, ExchangeFailed) and error.failure is Failure.NO_ANSWER and not patient:
        return failed(AttemptResult.CUT, "it closed the connection without an answer")
    if isinstance(error, ExchangeFailed):
        return failed(_BY_FAILURE[error.failure], str(error))
    if isinstance(error, RateLimitError):
        return SourceFailed(
            Verdict(result=AttemptResult.RATE_LIMITED, reason=str(error), status=429, retry_after_s=error.retry_after_s)
        )
    status = error.status if isinstance(error, RegistryError) else 0
    result = AttemptResult.SERVER_ERROR if status >= 500 else AttemptResult.PROTOCOL
    return failed(result, str(error), status=status)


def _begins_at(answer: Answer, offset: int) -> bool:
    """Tell whether a 206 holds the bytes from *offset* on, by its Content-Range (``bytes 100-199/200``)."""
    unit, _, rest = answer.headers.get("content-range", "").strip().partition(" ")
    return unit.lower() == "bytes" and rest.partition("-")[0].strip() == str(offset)
