"""Caps as they are typed: written, listed with who is away, refused where they are no caps, taken away."""

import json

import pytest

from tests.cli.conftest import Fleet
from tests.controller.centre import Centre, ScriptedHost

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("served")]


def test_a_cap_is_listed_with_its_limit_for_each_value(fleet: Fleet, centre: Centre, web1: ScriptedHost) -> None:
    for number in range(4):
        centre.add_host(f"n-{number}")
        fleet("host", "label", f"n-{number}", "site=north")
    fleet("host", "label", "web-1", "site=south")
    ran = fleet("cap", "set", "site", "50%", "-o", "json")
    found = {(each["value"], each["limit"], each["unavailable"]) for each in json.loads(ran.out)["values"]}
    assert found == {("north", 2, 0), ("south", 0, 0)}
    assert "warning: the cap of site=south lets none of its hosts go" in fleet("cap", "ls").err
    assert fleet("cap", "rm", "site").code == 0
    assert "no caps" in fleet("cap", "ls").err
    assert "cap set" in fleet("audit").out


@pytest.mark.parametrize(("most", "said"), [("lots", "25%"), ("-1", ""), ("101%", "25%"), ("1.5", "25%")])
def test_what_is_no_cap_is_refused(fleet: Fleet, most: str, said: str) -> None:
    ran = fleet("cap", "set", "site", "--", most)
    assert (ran.code, said in ran.err, ran.err.startswith("cannot use")) == (1, True, True)
    assert fleet("cap", "rm", "site").code == 5


def test_a_label_that_no_host_has_is_said_to_be_so(fleet: Fleet) -> None:
    assert "no host has it" in fleet("cap", "set", "rack", "1").out
