"""Every error of Fleet, in one tree.

    FleetError                  temporary = "would the same call be worth another try?"
    ├── BadInput                what a person or a file said cannot be used (exit 1, HTTP 422)
    ├── NotFound                a named host, container, plan or row does not exist (exit 5, HTTP 404)
    ├── Refused                 possible, but not now: stale plan, freeze, a live update (exit 6, HTTP 409)
    ├── AuthNeeded              no or wrong credentials (exit 4, HTTP 401 or 403)
    ├── TimedOut                the wait ended, the work goes on (exit 7), temporary
    ├── Unreachable             a server did not answer (exit 8), temporary
    │   ├── EngineUnreachable
    │   ├── RegistryUnreachable
    │   ├── BrokerUnreachable
    │   │   └── LoginRefused    it answered, and does not take this login, now or any more
    │   └── DatabaseUnreachable
    ├── RegistryError           a registry answered, and the answer is no
    ├── EngineError             the engine answered, and the answer is no
    └── Untrusted               a message whose signature, audience or shape is wrong

A message begins with "cannot", names the thing and, where there is one, the remedy. It never carries a secret.
"""


class FleetError(Exception):
    """cannot go on"""

    temporary = False
    exit_code = 1

    def __init__(self, message: str | None = None) -> None:
        """Take *message*, or the class docstring where none is given."""
        super().__init__(message or (type(self).__doc__ or "cannot go on"))


class BadInput(FleetError):
    """cannot use what was given"""


class NotFound(FleetError):
    """cannot find what was named"""

    exit_code = 5


class Refused(FleetError):
    """cannot do that now"""

    exit_code = 6


class AuthNeeded(FleetError):
    """cannot proceed without valid credentials"""

    exit_code = 4


class TimedOut(FleetError):
    """cannot wait any longer; the work goes on"""

    temporary = True
    exit_code = 7


class Unreachable(FleetError):
    """cannot reach the server"""

    temporary = True
    exit_code = 8


class EngineUnreachable(Unreachable):
    """cannot reach the container engine; is it running, and may this user use its socket?"""


class RegistryUnreachable(Unreachable):
    """cannot reach the registry"""


class BrokerUnreachable(Unreachable):
    """cannot reach the broker"""


class LoginRefused(BrokerUnreachable):
    """cannot log in to the broker"""


class DatabaseUnreachable(Unreachable):
    """cannot reach the database"""


class RegistryError(FleetError):
    """cannot get what was asked from the registry

    *status* is the HTTP status that the registry answered with, 0 where the answer itself was unusable.
    """

    def __init__(self, message: str | None = None, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.temporary = status == 429 or status >= 500


class EngineError(FleetError):
    """cannot do that on the engine

    *status* is the HTTP status that the engine answered with, 0 where it was told inside a stream.
    """

    def __init__(self, message: str | None = None, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Untrusted(FleetError):
    """cannot trust this message"""
