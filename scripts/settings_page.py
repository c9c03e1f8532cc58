#!/usr/bin/env python3
"""Write the tables of docs/settings.md anew from the settings, each with what stands below it in the code."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fleet.settings import sources
from fleet.settings.agent import AgentSettings
from fleet.settings.centre import CentreSettings

PAGE = Path(__file__).parents[1] / "docs/settings.md"
BEGIN, END = "<!-- settings: written by scripts/settings_page.py -->", "<!-- settings: end -->"
_HEAD = ["| Setting | Variable | Default | Says |", "|---|---|---|---|"]
_OWN = {"state_dir": "`/var/lib/fleet`, or `~/.local/share/fleet` without root"}
"""Defaults that depend on who starts the process."""


def tables() -> str:
    """Return a table for each table of the settings file."""
    return "\n".join([*_tables(CentreSettings), *_tables(AgentSettings, leave_out="log")])


def _tables(kind: type[sources.ProcessSettings], leave_out: str = "") -> Iterator[str]:
    told: set[str] = set()
    model: type[BaseModel] = kind
    for path, field in sources.leaves(kind):
        table = path[0] if len(path) > 1 else ""
        if table == leave_out and table:
            continue
        if table not in told:
            told.add(table)
            group = kind.model_fields[table].annotation if table else kind
            assert isinstance(group, type) and issubclass(group, BaseModel)
            model = group
            yield from ["", f"### {_title(table, model)}", "", *_HEAD]
        yield _row(path, field, _texts(model)[path[-1]])


def _title(table: str, model: type[BaseModel]) -> str:
    return f"`[{table}]`: {_line(inspect.getdoc(model) or '').rstrip('.')}" if table else "At the top of the file"


def _row(path: tuple[str, ...], field: FieldInfo, text: str) -> str:
    name = path[-1]
    variable = sources.env_name(path, field)
    secret = f", `{variable}_FILE`" if sources.is_secret(field) else ""
    default = "" if sources.is_secret(field) else _OWN.get(".".join(path)) or _shown(field.default)
    return f"| `{name}` | `{variable}`{secret} | {default} | {text} |".replace("|  |", "| |")


def _shown(value: object) -> str:
    if value in ("", ()):
        return ""
    text = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{text}`"


def _texts(model: type[BaseModel]) -> dict[str, str]:
    """Return what stands below each field in the code."""
    (found,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(found, ast.ClassDef)
    texts = {}
    for field, below in zip(found.body, found.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            assert isinstance(below.value, ast.Constant)
            texts[field.target.id] = _line(str(below.value.value))
    return texts


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text.strip()).replace("``", "`").replace("|", "\\|")


def page(text: str) -> str:
    """Return the text of the page with these tables in it."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
