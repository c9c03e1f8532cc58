"""``python -m fleet.notify.render``: fill templates, in a process with little memory and time that ends with it.

Templates are a person's; what they get is the fields of messages, as JSON has them, and the sandbox of Jinja2 lets them reach
nothing else. What it cannot bound, the limits of the process do: a loop without an end, a text that fills the memory.
"""

import json
import resource
import sys
from collections.abc import Callable, Mapping
from io import StringIO
from types import TracebackType
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError
from jinja2.environment import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

CPU_S = 2
"""Seconds of processor time for all of one call; a tenth is what usual templates take."""
MEMORY_BYTES = 512 * 1024 * 1024
"""Of address space; the interpreter itself takes a fifth of it."""
MOST_CHARACTERS = 20_000
"""How much one template may write; services take a third of it."""
_FILE = "<template>"
"""What Jinja2 calls a template that is no file."""
_KEPT = ("range", "namespace", "joiner", "cycler")
"""Of the functions that Jinja2 gives templates."""


def run(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Fill title and body for each message; return the texts, or in ``errors`` what was wrong with which."""
    parts: dict[str, Template | str] = {}
    for part in ("title", "body"):
        environment = _environment(html=asked["html"] and part == "body")
        parts[part] = _tried(part, environment.from_string, asked[part])
    filled = []
    for fields in asked["messages"]:
        told: dict[str, str] = {}
        for part, template in parts.items():
            if isinstance(template, str):
                return {"error": template}
            text = _tried(part, _fill, template, fields)
            if isinstance(text, _Wrong):
                told["error"] = text
                break
            told[part] = text
        filled.append(told)
    return {"messages": filled}


class _Wrong(str):
    """What is wrong with a template."""

    __slots__ = ()


def _environment(*, html: bool) -> ImmutableSandboxedEnvironment:
    found = ImmutableSandboxedEnvironment(
        autoescape=html, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=False
    )
    found.globals = {name: value for name, value in found.globals.items() if name in _KEPT}
    return found


def _fill(template: Template, fields: Mapping[str, Any]) -> str:
    text = StringIO()
    for piece in template.generate(**fields):
        text.write(piece)
        if text.tell() > MOST_CHARACTERS:
            raise ValueError(f"it writes more than {MOST_CHARACTERS} characters")
    return text.getvalue()


def _tried(part: str, act: Callable[..., Any], *args: Any) -> Any:
    """Return what comes of it, or what is wrong and in which line."""
    try:
        return act(*args)
    except TemplateSyntaxError as error:
        return _Wrong(f"{part}, line {error.lineno}: {error.message}")
    except MemoryError:
        return _Wrong(f"{part}: it takes too much memory")
    except Exception as error:  # whatever a person's template does
        line = _line(error.__traceback__)
        return _Wrong(f"{part}, line {line}: {error}" if line else f"{part}: {error}")


def _line(trace: TracebackType | None) -> int:
    """Return the line of the template in which an error arose; 0: none."""
    found = 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


def _bound() -> None:
    """Give this process little."""
    for kind, most in ((resource.RLIMIT_CPU, CPU_S), (resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_FSIZE, 0)):
        resource.setrlimit(kind, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _bound()
    sys.stdout.write(json.dumps(run(json.load(sys.stdin))))
