"""Problem details (RFC 9457): the tree of ``fleet.errors`` as HTTP says it, and back."""

from pydantic import BaseModel, ConfigDict

from fleet import errors
from fleet.errors import FleetError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:fleet:problem:"
"""What stands before the code in a problem's ``type``."""


class Problem(BaseModel):
    """Why a request was not carried out."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: str
    """``urn:fleet:problem:CODE``."""
    title: str
    """The same for every problem of this code."""
    status: int
    """The HTTP status."""
    detail: str
    """What cannot be done, and the remedy where there is one; begins with "cannot"."""
    code: str
    """One word of a closed set, for programs."""
    temporary: bool = False
    """Whether the same request may succeed later."""

    def error(self) -> FleetError:
        """Return the error that this problem tells of, as this program knows it."""
        kind = _ERRORS.get(self.code)
        if kind is None:
            kind = errors.AuthNeeded if self.status in (401, 403) else FleetError
        detail = self.detail if self.detail.startswith("cannot") else f"cannot do that: {self.detail or self.title}"
        return kind(detail)


_CODES: tuple[tuple[type[FleetError], str, int], ...] = (
    (errors.BadInput, "bad-input", 422),
    (errors.NotFound, "not-found", 404),
    (errors.Refused, "refused", 409),
    (errors.AuthNeeded, "auth-needed", 401),
    (errors.TimedOut, "timed-out", 504),
    (errors.DatabaseUnreachable, "database-unreachable", 503),
    (errors.LoginRefused, "broker-login-refused", 503),
    (errors.BrokerUnreachable, "broker-unreachable", 503),
    (errors.RegistryUnreachable, "registry-unreachable", 502),
    (errors.EngineUnreachable, "engine-unreachable", 502),
    (errors.Unreachable, "unreachable", 503),
    (errors.RegistryError, "registry-error", 502),
    (errors.EngineError, "engine-error", 502),
    (errors.Untrusted, "untrusted", 400),
    (FleetError, "failed", 500),
)
"""Each error, its code and its status; a subclass stands before its base."""

_ERRORS = {code: kind for kind, code, _status in _CODES}
_TITLES = {
    "bad-input": "What was given cannot be used",
    "not-found": "What was named does not exist",
    "refused": "That cannot be done now",
    "auth-needed": "Valid credentials are needed",
    "timed-out": "The wait ended, the work goes on",
    "failed": "The request failed",
}


def problem_of(error: FleetError) -> Problem:
    """Return the problem that tells of *error*."""
    for kind, code, status in _CODES:
        if isinstance(error, kind):
            return make_problem(code, status, str(error), temporary=error.temporary)
    raise AssertionError("every FleetError has a code")


def make_problem(code: str, status: int, detail: str, *, temporary: bool = False) -> Problem:
    """Return a problem of this code."""
    title = _TITLES.get(code, code.replace("-", " ").capitalize())
    return Problem(type=TYPE_PREFIX + code, title=title, status=status, detail=detail, code=code, temporary=temporary)
