"""Requests refuse what is not known, answers name their schema."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

import fleet.api
from fleet.api.form import Answer, Done, Request
from fleet.api.history import HistoryQuery
from fleet.api.hosts import AddHost
from fleet.api.selectors import Selector


def _of(base: type) -> Iterator[type]:
    for module in pkgutil.iter_modules(fleet.api.__path__, "fleet.api."):
        for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(found, base) and found is not base and found.__module__ == module.name:
                yield found


def test_every_answer_says_its_schema_first() -> None:
    assert list(Done().document().items()) == [("schema", "v1"), ("done", True)]


@pytest.mark.parametrize("kind", tuple(_of(Answer)), ids=lambda kind: kind.__name__)
def test_an_answer_of_a_later_server_is_still_read(kind: type[Answer]) -> None:
    """A field may be added within v1, so it is ignored here."""
    assert kind.model_config["extra"] == "ignore"
    assert kind.model_json_schema()["properties"]["schema"]["const"] == "v1"


@pytest.mark.parametrize("kind", tuple(_of(Request)), ids=lambda kind: kind.__name__)
def test_a_wish_that_is_not_known_is_never_dropped(kind: type[Request]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        kind.model_validate({"not_a_field": 1})


def test_every_model_is_documented() -> None:
    for kind in (*_of(Answer), *_of(Request)):
        assert kind.__doc__, kind


@pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "x" * 64, "é", "a\n"])
def test_a_host_name_that_would_need_quotes_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="a name has 1 to 63"):
        AddHost(name=name, public_key="{}", password_sha256="0" * 64)


def test_a_selector_writes_only_what_is_set() -> None:
    assert Selector().document() == {}
    assert Selector(hosts=("web-*",)).document() == {"hosts": ["web-*"]}


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        HistoryQuery.model_validate({"since": "2026-11-25T08:00:00"})
