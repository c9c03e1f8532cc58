"""Asks Docker's credential programs (``docker-credential-NAME get``), and never waits for one that hangs."""

import json
import os
import re
import signal
import subprocess
from contextlib import suppress

from fleet.errors import AuthNeeded

KEYCHAIN_LIMIT_S = 5.0
"""A program that asks a desktop's keychain for permission would wait for ever where nobody sits."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_FOUND = "credentials not found"
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


def _run(program: str, server: str, limit_s: float) -> tuple[int, str]:
    try:
        # A session of its own lets a hanging program be killed together with what it has started.
        process = subprocess.Popen(
            [program, "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
    except OSError as error:
        raise AuthNeeded(f"cannot run {program}: {error.strerror or error}; is it installed on this host?") from error
    with process:
        try:
            output, _ = process.communicate(server, timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise AuthNeeded(f"cannot wait for {program} any longer than {limit_s:g} s") from error
        return process.returncode, output


def _answer(program: str, output: str) -> tuple[str, str] | None:
    try:
        answer = json.loads(output)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise AuthNeeded(f"cannot use what {program} answered; expected Username and Secret as JSON") from error
    return (user, secret) if secret else None
