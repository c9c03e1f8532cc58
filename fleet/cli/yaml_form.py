"""A document as YAML that every reader takes for the same, whether it follows YAML 1.1 or 1.2."""

import re
from typing import Any

import yaml

_SURELY_TEXT = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@-]+(:[A-Za-z0-9_./@-]+)*")
"""What no reader takes for a number, a time or a mark of YAML's own; but for the words below."""
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null"})


class _Dumper(yaml.SafeDumper):
    """Writes texts in quotes wherever a reader might take them for something else."""


def yaml_of(document: Any) -> str:
    """Return *document*, of JSON's own types, in blocks, its keys in their order.

    The library leaves bare what YAML 1.2 takes for a number and 1.1 does not: an id such as ``12e45678``.
    """
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**31)
    return text


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    bare = _SURELY_TEXT.fullmatch(text) and text.lower() not in _WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if bare else '"')


_Dumper.add_representer(str, _text)
