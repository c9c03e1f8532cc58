"""One request and its answer: sent over the socket or TLS, read as a model, or raised as the error that the server meant."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from fleet.api.form import Answer
from fleet.api.paths import DRY_RUN, PREFIX
from fleet.api.problems import Problem
from fleet.client.address import ServerAddress
from fleet.errors import AuthNeeded, BadInput, FleetError, Unreachable

TIMEOUT_S = 30.0
"""The most that an answer is waited for; drawing a plan asks registries, and has a limit of its own."""
CONNECT_TIMEOUT_S = 5.0

A = TypeVar("A", bound=Answer)


class Exchange:
    """One connection to the API; a context manager."""

    def __init__(
        self, address: ServerAddress, *, dry_run: bool = False, transport: httpx2.BaseTransport | None = None
    ) -> None:
        """Speak to *address*; nothing is sent until the first call. *transport* replaces the network, for tests.

        In a *dry_run* the server takes back what is sent to it.
        """
        self.address = address
        self._sends_to = DRY_RUN if dry_run else PREFIX
        headers = {"Accept": "application/json"}
        if address.token:
            headers["Authorization"] = f"Bearer {address.token}"
        self._http = httpx2.Client(
            base_url=address.url,
            headers=headers,
            timeout=httpx2.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            transport=transport or _transport(address),
            trust_env=False,
        )

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def call(
        self, method: str, path: str, query: list[tuple[str, str]], body: bytes | None, *, timeout: float
    ) -> bytes:
        """Send any request, and return what the answer holds; raise what the server meant where it is no success."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        return self._request(method, path, params=query, content=body, headers=headers, timeout=timeout).content

    @contextmanager
    def stream(
        self, path: str, query: list[tuple[str, Any]], headers: dict[str, str], *, quiet_s: float
    ) -> Iterator[httpx2.Response]:
        """Ask for what comes bit by bit, and may be silent for *quiet_s*; raise as :meth:`call` does, also in the middle of it."""
        if self.address.socket:
            _knock(self.address.socket)
        timeout = httpx2.Timeout(quiet_s, connect=CONNECT_TIMEOUT_S)
        try:
            with self._http.stream("GET", PREFIX + path, params=query, headers=headers, timeout=timeout) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _error(answer)
                yield answer
        except httpx2.TransportError as e:
            raise Unreachable(_why(self.address, e)) from e

    def _get(
        self,
        kind: type[A],
        path: str,
        query: list[tuple[str, Any]] | None = None,
        *,
        timeout: float = TIMEOUT_S,
        prefix: str = PREFIX,
    ) -> A:
        return _read(kind, self._request("GET", prefix + path, params=query or [], timeout=timeout))

    def _send(
        self, method: str, kind: type[A], path: str, body: BaseModel | None = None, timeout: float = TIMEOUT_S
    ) -> A:
        # What nobody asked for is not sent: an earlier server refuses fields that it does not know.
        content = body.model_dump_json(exclude_unset=True).encode() if body is not None else None
        headers = {"Content-Type": "application/json"} if content else {}
        return _read(
            kind, self._request(method, self._sends_to + path, content=content, headers=headers, timeout=timeout)
        )

    def _request(self, method: str, path: str, **more: Any) -> httpx2.Response:
        if (seconds := more.pop("timeout", None)) is not None:
            more["timeout"] = httpx2.Timeout(seconds, connect=CONNECT_TIMEOUT_S)
        if self.address.socket:
            _knock(self.address.socket)
        try:
            answer = self._http.request(method, path, **more)
        except httpx2.TransportError as e:
            raise Unreachable(_why(self.address, e)) from e
        if answer.is_success:
            return answer
        raise _error(answer)


def _transport(address: ServerAddress) -> httpx2.BaseTransport:
    if address.socket:
        return httpx2.HTTPTransport(uds=str(address.socket))
    try:
        context = ssl.create_default_context(cafile=str(address.ca_file) if address.ca_file else None)
    except OSError as e:
        why = "it holds no PEM certificate" if isinstance(e, ssl.SSLError) else e.strerror
        raise BadInput(f"cannot use the CA file {address.ca_file}: {why}") from e
    return httpx2.HTTPTransport(verify=context, trust_env=False)


def _read(kind: type[A], answer: httpx2.Response) -> A:
    try:
        return kind.model_validate_json(answer.content)
    except ValidationError as e:
        where = ".".join(str(part) for part in e.errors(include_input=False)[0]["loc"]) or "it"
        raise FleetError(
            f"cannot understand the server's answer ({where}); are command and server of the same version? "
            "see: fleet version"
        ) from None


def _error(answer: httpx2.Response) -> FleetError:
    try:
        return Problem.model_validate_json(answer.content).error()
    except ValidationError:
        if answer.status_code in (401, 403):
            return AuthNeeded()
        return FleetError(f"cannot do that: the server answered {answer.status_code}; is it Fleet's?")


def _why(address: ServerAddress, error: httpx2.TransportError) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return f"cannot reach the server at {address}: no answer in time; is it up?"
    if address.socket:
        return f"cannot reach the server at {address}: {error}; is it ending?"
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"cannot trust the server at {address}: {_untrusted(address, cause)}"
        if isinstance(cause, ssl.SSLError):
            return (
                f"cannot reach the server at {address}: what answers there speaks no TLS ({cause.reason}); see --server"
            )
        if isinstance(cause, OSError) and cause.strerror:
            return f"cannot reach the server at {address}: {cause.strerror}; is the address right? see --server"
    return f"cannot reach the server at {address}: {error}; is the address right? see --server"


def _untrusted(address: ServerAddress, error: ssl.SSLCertVerificationError) -> str:
    """Return why a certificate is not taken, and what to do about it."""
    told = error.verify_message.rstrip(".")
    if error.verify_code in _OTHER_NAME:
        return f"its certificate is for another name ({told}); name the server as its certificate does"
    by = str(address.ca_file) if address.ca_file else "the authorities of this machine"
    return f"{by} cannot vouch for its certificate ({told}); name the file of the fleet's own authority with --ca-file"


_OTHER_NAME = (62, 64)
"""What OpenSSL calls a certificate that names another host, or another address."""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what *error* came from, the last first: the HTTP library hands on the text alone, with numbers before it."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _knock(path: Path) -> None:
    """Raise Unreachable, with the remedy, where nobody listens at the socket.

    The HTTP library would tell less of why, and leave a socket open that did not connect.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            why = "there is no such socket; start it with fleet up or fleet controller, or name another with --server"
        except PermissionError:
            why = "this user may not use the socket; use sudo, or a token: --server https://... --token-file FILE"
        except ConnectionRefusedError:
            why = "nothing listens there; start it with fleet up or fleet controller"
        except OSError as e:
            why = f"{e.strerror or e}; is it up?"
        else:
            return
    raise Unreachable(f"cannot reach the server at unix://{path}: {why}")
