"""Requests as the API's own description allows or forbids them: every field takes its turn with what nobody expects there."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

ODD_TEXTS = (
    "",
    "\0",
    "a\0b",
    "\x1b[2J",
    "'\"<script>alert(1)</script>",
    "../../etc/passwd",
    "a/b",
    "%00%2f%2e",
    "\u202e\u2066",
    "\U0001f692" * 50,
    "x" * 5000,
    "=1+1",
    "*",
    "%",
    "_",
    "sha256:",
    "nginx:1.27",
    "docker.io/library/nginx:1.27@sha256:" + "0" * 64,
    "-1",
    "1e999",
    "NaN",
    "9" * 400,
    "9223372036854775808",
    "-9223372036854775809",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-11-27T10:00:00",
    "999999999d",
    "PT1H",
    "Europe/Nowhere",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "00000000-0000-0000-0000-000000000000",
    str(UUID(int=7)),
    "host:a AND (image:*",
    "host:" + "(" * 300,
    "since:0001-01-01 until:9999-12-31",
)
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    -(2**63) - 1,
    10**400,
    1e308,
    [],
    {},
    [None],
    {"\0": "\0"},
    [["a"]] * 3,
    {"a": {"b": {"c": [{}]}}},
)


@dataclass(frozen=True, slots=True)
class Odd:
    """One request."""

    method: str
    url: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Maker:
    """Makes requests from an OpenAPI document and a seed."""

    document: dict[str, Any]
    random: Random

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield method, path and description of every operation."""
        for path, operations in self.document["paths"].items():
            for method, operation in operations.items():
                yield method.upper(), path, operation

    def requests(self, method: str, path: str, operation: dict[str, Any], count: int) -> Iterator[Odd]:
        """Yield some requests of one operation, each with one thing or several that are odd."""
        for turn in range(count):
            yield self._request(
                method, path, operation, oddness=0.0 if turn == 0 else self.random.choice((0.1, 0.4, 1.0))
            )

    def _request(self, method: str, path: str, operation: dict[str, Any], oddness: float) -> Odd:
        query: list[tuple[str, str]] = []
        headers: dict[str, str] = {}
        for parameter in operation.get("parameters", ()):
            value = self.value(parameter.get("schema", {}), oddness)
            if parameter["in"] == "path":
                text = _text(value) or "x"
                path = path.replace("{" + parameter["name"] + "}", quote(text, safe="", errors="replace"))
            elif parameter["in"] == "query" and (parameter.get("required") or self.random.random() < 0.5):
                query += [(parameter["name"], _text(each)) for each in (value if isinstance(value, list) else [value])]
            elif parameter["in"] == "header":
                text = _text(value)
                headers[parameter["name"]] = "".join(c for c in text if c.isascii() and c.isprintable())[:1000]
        body = None
        for content in operation.get("requestBody", {}).get("content", {}).values():
            body = self.value(content.get("schema", {}), oddness)
        return Odd(method, path + ("?" + urlencode(query, errors="replace") if query else ""), body, headers)

    def value(self, schema: dict[str, Any], oddness: float, depth: int = 0) -> Any:
        """Return a value of *schema*, or by *oddness* one of another kind."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return self.value(self.document["components"]["schemas"][name], oddness, depth + 1)
        if self.random.random() < oddness * 0.5:
            return self.random.choice((*ODD_TEXTS, *ODD_VALUES))
        if depth > 12:
            return None
        for union in ("anyOf", "oneOf", "allOf"):
            if union in schema:
                return self.value(self.random.choice(schema[union]), oddness, depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        match schema.get("type"):
            case "object":
                return self._object(schema, oddness, depth)
            case "array":
                return [
                    self.value(schema.get("items", {}), oddness, depth + 1) for _ in range(self.random.randrange(3))
                ]
            case "integer" | "number":
                return self.random.choice(
                    (schema.get("minimum", 0), schema.get("maximum", 1), schema.get("default", 1))
                )
            case "boolean":
                return self.random.choice((True, False))
            case "null":
                return None
        return self._string(schema)

    def _object(self, schema: dict[str, Any], oddness: float, depth: int) -> dict[str, Any]:
        needed = schema.get("required", ())
        found = {
            name: self.value(each, oddness, depth + 1)
            for name, each in schema.get("properties", {}).items()
            if name in needed or self.random.random() < 0.5
        }
        more = schema.get("additionalProperties")
        if isinstance(more, dict) and self.random.random() < 0.5:
            found[self.random.choice(("a", "site", *ODD_TEXTS))] = self.value(more, oddness, depth + 1)
        return found

    def _string(self, schema: dict[str, Any]) -> str:
        match schema.get("format"):
            case "uuid":
                return str(UUID(int=self.random.getrandbits(128)))
            case "date-time":
                return self.random.choice(
                    ("2026-11-27T10:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")
                )
        known = (schema.get("default"), *schema.get("examples", ()))
        plain = (
            "web-1",
            "nginx:1.27",
            "docker.io/library/nginx:1.27",
            "a",
            "1h",
            "24h",
            "* * * * *",
            "https://hooks.lan/x",
        )
        return self.random.choice([*(each for each in known if isinstance(each, str)), *plain])


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value)[:3000]
