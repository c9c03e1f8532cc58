"""YAML or JSON with the line of every value, read strictly: no tags, no surprises of YAML 1.1."""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from fleet.errors import BadInput

Path = tuple[str | int, ...]

MOST_VALUES = 20_000
"""More than any spec has; aliases of aliases would otherwise grow without end."""

_LONGEST = 1_000_000
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_WORDS: dict[str, bool | None] = {"": None, "null": None, "~": None, "true": True, "false": False}


@dataclass(slots=True)
class Marked:
    """A document, and on which line each of its values stands."""

    document: Any = None
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """Return the line of the value at *path*, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def read(text: str, where: str) -> Marked:
    """Read *text*; raises BadInput that names *where* and the line.

    Unquoted ``22:00`` is text here, and ``no`` and ``on`` are too: YAML 1.1 reads them as 1320, false and true.
    """
    if len(text) > _LONGEST:
        raise BadInput(f"cannot read {where}: it is longer than {_LONGEST} characters")
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as broken:
        mark = broken.problem_mark or broken.context_mark
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise BadInput(f"cannot read {where}: {line}{broken.problem or 'this is not YAML'}") from None
    except (yaml.YAMLError, RecursionError):
        raise BadInput(f"cannot read {where}: this is not YAML, or nested too deeply") from None
    found = Marked()
    if node is not None:
        found.document = _Walk(found, where).value(node, ())
    return found


class _Loader(yaml.BaseLoader):
    """Reads no more values than a spec may have: to read the rest before that is looked at takes a processor for seconds."""

    _read = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next value, or name."""
        self._read += 1
        if self._read > 2 * MOST_VALUES:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="too many values", problem_mark=mark)
        return super().compose_node(parent, index)


class _Walk:
    def __init__(self, found: Marked, where: str) -> None:
        self._found = found
        self._where = where
        self._seen = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._seen += 1
        line = node.start_mark.line + 1
        if self._seen > MOST_VALUES or len(path) > 50:
            raise BadInput(f"cannot read {self._where}: line {line}: too many values, or nested too deeply")
        self._found.lines[path] = line
        match node:
            case yaml.MappingNode():
                return self._table(node, path)
            case yaml.SequenceNode():
                return [self.value(each, (*path, at)) for at, each in enumerate(node.value)]
            case _:
                return _scalar(node)

    def _table(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise BadInput(f"cannot read {self._where}: line {line}: a field's name must be plain text")
            if key.value in table:
                raise BadInput(f"cannot read {self._where}: line {line}: {key.value!r} stands there twice; keep one")
            table[key.value] = self.value(value, (*path, key.value))
            self._found.lines[(*path, key.value)] = line
        return table


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if getattr(node, "style", None):
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    return int(text) if _INTEGER.fullmatch(text) and len(text) < 19 else text
