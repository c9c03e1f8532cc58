"""A document is the same as YAML, for readers of YAML 1.1 and of 1.2."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fleet.cli.yaml_form import yaml_of

NUMBER_OF_1_2 = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?\.inf|\.nan", re.I
)
"""What the core schema of YAML 1.2 takes for a number, wherever it stands without quotes."""
TEXTS = st.one_of(
    st.text(max_size=20), st.text("0123456789eEoOxXyYnN+-.:_ ~#", max_size=12), st.sampled_from(["null", "Off", ""])
)
DOCUMENTS = st.recursive(
    st.one_of(TEXTS, st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


@given(DOCUMENTS)
def test_a_reader_of_yaml_1_1_gets_the_same_document(document: Any) -> None:
    assert yaml.safe_load(yaml_of(document)) == document


@given(st.lists(TEXTS, min_size=1, max_size=8))
def test_no_text_is_a_number_to_a_reader_of_yaml_1_2(texts: list[str]) -> None:
    read = yaml.compose(yaml_of(texts), Loader=yaml.SafeLoader)
    assert isinstance(read, yaml.SequenceNode)
    bare = [node.value for node in read.value if node.style is None]
    assert [text for text in bare if NUMBER_OF_1_2.fullmatch(text)] == []


@pytest.mark.parametrize("text", ["12e45678", "0o17", "no", "y", "22:00", "2026-11-25", "", "~", "a: b", "- x", "#1"])
def test_what_could_be_taken_for_something_else_stands_in_quotes(text: str) -> None:
    assert yaml_of({"name": text}) == f'name: "{text}"\n'


@pytest.mark.parametrize("text", ["web-1", "docker.io/library/nginx:1.27", "sha256:9f1c", "person:anna", "updated"])
def test_what_people_read_stands_as_it_is(text: str) -> None:
    assert yaml_of({"name": text}) == f"name: {text}\n"
