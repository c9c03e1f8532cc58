"""Asks Docker's credential programs (``docker-credential-NAME get``), and never waits for one that hangs."""

import json
import os
import re
import select
import signal
import subprocess
import time
from contextlib import suppress

from fleet.errors import AuthNeeded

KEYCHAIN_LIMIT_S = 5.0
"""A program that asks a desktop's keychain for permission would wait for ever where nobody sits."""
MOST_ANSWERED_BYTES = 256 * 1024
"""The longest known secrets are tokens of some 20 KiB; what a program without an end says is not taken into memory."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_FOUND = b"credentials not found"
"""What every program of Docker's answers for a server that it does not know."""


def ask(name: str, server: str, *, limit_s: float = KEYCHAIN_LIMIT_S) -> tuple[str, str] | None:
    """Return user and secret that the program *name* keeps for *server*, None where it keeps none.

    The user is ``<token>`` where the secret is an identity token. Raise AuthNeeded where the program is missing, fails,
    answers nonsense or takes more than *limit_s* seconds. It blocks: call it in a thread.
    """
    program = f"docker-credential-{name}"
    if not _NAME.fullmatch(name):
        raise AuthNeeded(f"cannot run the credential program {name!r}: expected a name without a path")
    status, output = _run(program, server, limit_s)
    if status != 0 and _NOT_FOUND in output:
        return None
    if status != 0:
        raise AuthNeeded(f"cannot get credentials for {server}: {program} ended with status {status}")
    return _answer(program, output)


def _run(program: str, server: str, limit_s: float) -> tuple[int, bytes]:
    """Return the status by which *program* ended, and what it said."""
    until = time.monotonic() + limit_s
    try:
        # A session of its own lets a hanging program be killed together with what it has started.
        process = subprocess.Popen(
            [program, "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise AuthNeeded(f"cannot run {program}: {error.strerror or error}; is it installed on this host?") from error
    with process:
        try:
            output = _said(process, server, until)
            if len(output) > MOST_ANSWERED_BYTES:
                raise AuthNeeded(f"cannot take more than {MOST_ANSWERED_BYTES} bytes from {program}")
            return process.wait(max(until - time.monotonic(), 0.0)), output
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, TimeoutError | subprocess.TimeoutExpired):
                raise AuthNeeded(f"cannot wait for {program} any longer than {limit_s:g} s") from error
            raise


def _said(process: "subprocess.Popen[bytes]", server: str, until: float) -> bytes:
    """Tell *process* the server, and return what it says up to its end or a little more than is taken of it.

    Raise TimeoutError where it has not come to its end by *until*, on the monotonic clock.
    """
    assert process.stdin is not None and process.stdout is not None
    with suppress(BrokenPipeError):
        os.write(process.stdin.fileno(), server.encode())
    process.stdin.close()
    line, output = process.stdout.fileno(), bytearray()
    poll = select.poll()
    poll.register(line, select.POLLIN)
    while len(output) <= MOST_ANSWERED_BYTES:
        left_s = until - time.monotonic()
        if left_s <= 0 or not poll.poll(left_s * 1000):
            raise TimeoutError
        if not (more := os.read(line, 65536)):
            break
        output += more
    return bytes(output)


def _answer(program: str, output: bytes) -> tuple[str, str] | None:
    try:
        answer = json.loads(output)
        user, secret = str(answer["Username"]), str(answer["Secret"] or "")
        # JSON can spell what no header can.
        (user + secret).encode()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise AuthNeeded(f"cannot use what {program} answered; expected Username and Secret as JSON") from error
    return (user, secret) if secret else None
