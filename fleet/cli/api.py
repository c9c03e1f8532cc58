"""``fleet api``: a request to the HTTP API as it is, with the server, token and errors of every other command."""

import json
import sys
from pathlib import Path

import click

from fleet.cli.console import print_json
from fleet.cli.session import Leaf, Session, pass_session
from fleet.errors import BadInput

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
OUTSIDE = ("/healthz", "/readyz", "/metrics")
"""What the server answers beside its API."""


@click.command("api", cls=Leaf)
@click.argument("method", type=click.Choice(METHODS, case_sensitive=False))
@click.argument("path")
@click.option("--query", "query", multiple=True, metavar="K=V", help="A parameter of the query; may be repeated.")
@click.option("--input", "file", metavar="FILE", help="The JSON that is sent; - is stdin.")
@pass_session
def api(session: Session, method: str, path: str, query: tuple[str, ...], file: str | None) -> None:
    """Send a request to the API, and print what it answers: fleet api GET /hosts --query label=env=prod.

    PATH is as the API's document (GET /openapi.json) has it, with or without /api/v1 before it. Errors and exit codes
    are those of every command.
    """
    from fleet.client.calls import PLAN_TIMEOUT_S

    body = None if file is None else _read(file)
    with session.client() as client:
        answer = client.call(method, _full(path), [_pair(each) for each in query], body, timeout=PLAN_TIMEOUT_S)
    try:
        print_json(json.loads(answer))
    except ValueError:
        click.echo(answer.decode(errors="replace"), nl=False)


def _full(path: str) -> str:
    """Return the path with what every path of the API begins with; raise BadInput for what is none."""
    from fleet.api.paths import PREFIX

    if "://" in path or "?" in path or "#" in path:
        raise BadInput(f"cannot use {path[:200]!r} as a path of the API; give one such as /hosts, and --query K=V")
    whole = f"/{path.lstrip('/')}"
    return whole if whole in OUTSIDE or whole.startswith(f"{PREFIX}/") else PREFIX + whole


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise BadInput(f"cannot use {text[:200]!r} as a parameter; expected name=value")
    return name, value


def _read(file: str) -> bytes:
    """Return the JSON in *file*; raise BadInput for what is none."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
        json.loads(text)
    except (OSError, UnicodeDecodeError) as e:
        raise BadInput(f"cannot read {file}: {getattr(e, 'strerror', None) or 'not a text file'}") from e
    except ValueError as e:
        raise BadInput(f"cannot send {file}: it is not JSON: {e}") from None
    return text.encode()
