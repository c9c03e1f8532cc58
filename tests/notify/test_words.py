"""Events, which channel wants which, and their words: functions of values."""

import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from fleet.errors import BadInput
from fleet.notify.events import USUAL, EventType, of_rollout, of_update, read
from fleet.notify.examples import examples
from fleet.notify.rule import FAILING, About, Rule, check, is_news, wants
from fleet.notify.severity import Severity
from fleet.notify.text import LONGEST_BODY, message
from fleet.notify.waits import LONGEST, wait
from fleet.rollouts.selector import Selector
from fleet.rollouts.states import Hold, RolloutState
from fleet.updates.outcome import Result

BY_TYPE = {each.type: each for each in examples()}


def test_there_is_an_example_of_each_type_and_each_is_a_cloudevent() -> None:
    assert set(BY_TYPE) == set(EventType)
    for event in examples():
        document = event.document("urn:fleet:test")
        assert {name: document[name] for name in ("specversion", "source", "datacontenttype")} == {
            "specversion": "1.0", "source": "urn:fleet:test", "datacontenttype": "application/json"
        }  # fmt: skip
        assert document["type"] == f"fleet.{event.type}"
        assert document["time"] == "2026-01-02T03:04:05.000Z"
        assert all(name.isalnum() and name.islower() for name in document)
        assert read(json.loads(json.dumps(document))) == event


def test_of_each_outcome_it_is_decided_whether_people_are_told() -> None:
    told = {result: of_update(result) for result in Result}
    assert {result for result, kind in told.items() if kind is None} == {Result.ALREADY_CURRENT, Result.SKIPPED}
    assert told[Result.ROLLBACK_FAILED] == (EventType.FAILED, Severity.ERROR)


def test_of_each_hold_and_end_it_is_decided_whether_people_are_told() -> None:
    held = {hold: of_rollout("held", {"hold": hold.value}) for hold in Hold}
    assert [hold for hold, kind in held.items() if kind is None] == [Hold.SUPERSEDED]
    assert held[Hold.APPROVAL] == (EventType.APPROVAL_REQUESTED, Severity.WARNING)
    ends = {state for state in RolloutState if of_rollout("ended", {"state": state.value}) is not None}
    assert ends == {state for state in RolloutState if state.ended}
    assert of_rollout("wave opened", {"wave": 1}) is None


@pytest.mark.parametrize("kind", list(EventType))
def test_the_body_says_what_a_person_asks(kind: EventType) -> None:
    told = message([BY_TYPE[kind]])
    text = f"{told.title}\n{told.body}"
    if kind.value.startswith("update."):
        for part in ("web-", "/shop", "nginx:1.27", "9f1c2d3e9f1c -> 41aa22bb41aa"):
            assert part in text
        assert "https://mirror.example" in text or kind is EventType.AVAILABLE
    if kind in (EventType.ROLLOUT_COMPLETED, EventType.ROLLOUT_ABORTED):
        assert "hosts: 1 failed, 24 succeeded" in text
        assert "and 23 more" in text
    if kind is EventType.CONDITION_RAISED:
        assert "fleet mirror test web-1" in text


def test_many_events_are_one_message_as_urgent_as_the_worst() -> None:
    tests = [replace(BY_TYPE[EventType.TEST], id=UUID(int=n)) for n in range(40)]
    told = message([*tests, BY_TYPE[EventType.FAILED]])
    assert (told.severity, told.title) == (Severity.ERROR, "✖ Fleet: 41 events")
    assert told.body.startswith("✖ web-1/shop: update failed"), "what is urgent comes first"
    assert "and 11 more" in told.body
    assert len(told.body) < LONGEST_BODY + 100


def test_what_is_alike_is_told_together() -> None:
    """A bad image on a hundred hosts and a network that is gone are two paragraphs, with what to do once."""
    failed, silent = BY_TYPE[EventType.FAILED], BY_TYPE[EventType.CONDITION_RAISED]
    events = [
        event
        for n in range(100)
        for event in (
            replace(silent, subject=f"web-{n}"),
            replace(failed, subject=f"web-{n}/shop", data={**failed.data, "host": f"web-{n}"}),
        )
    ]
    told = message(events)
    assert told.title == "✖ Fleet: 200 events"
    first, second = told.body.split("\n\n")
    assert first.startswith("✖ nginx:1.27 41aa22bb41aa: update failed, 100 containers\nweb-0/shop, web-1/shop, ")
    assert first.endswith(", and 80 more\ncannot pull: no source has the manifest\nrollout #42")
    assert second.startswith("⚠ A mirror does not answer, 100 of them\nweb-0, web-1, ")
    assert second.count("what to do: ") == 1


def test_in_one_message_the_last_word_counts() -> None:
    raised, ended = BY_TYPE[EventType.CONDITION_RAISED], BY_TYPE[EventType.CONDITION_ENDED]
    assert message([raised, ended]).title == "✔ over: A mirror does not answer: https://mirror.example"
    assert message([raised, ended, replace(raised)]).title == "⚠ A mirror does not answer: https://mirror.example"
    assert message([raised, replace(ended, subject="https://other.example")]).title == "⚠ Fleet: 2 events"


def test_a_failure_is_not_told_beside_the_summary_that_names_it() -> None:
    failed, summary = BY_TYPE[EventType.ROLLED_BACK], BY_TYPE[EventType.ROLLOUT_COMPLETED]
    told = message([failed, summary])
    assert told.title == "✖ rollout #42: completed with failures"
    assert "cannot keep the new container: it was unhealthy after 60 s" in told.body
    other = replace(failed, data={**failed.data, "container": "cart"})
    assert message([other, summary]).title == "✖ Fleet: 2 events"


def test_what_is_new_and_what_is_not_is_said() -> None:
    found = BY_TYPE[EventType.AVAILABLE]
    lines = [{**found.data["updates"][0], "new": True}, found.data["updates"][0]]
    told = message([replace(found, data={**found.data, "new": 1, "updates": lines})])
    assert told.title == "ℹ 25 containers outdated, 1 of them new"
    assert [line.endswith("  new") for line in told.body.splitlines()[:2]] == [True, False]
    assert not is_news(replace(found, data={**found.data, "new": 0}), to_people=False)


def test_what_comes_and_goes_is_said_to() -> None:
    raised = BY_TYPE[EventType.CONDITION_RAISED]
    assert "it comes and goes: raised 3 times" in message([replace(raised, data={**raised.data, "times": 3})]).body


def test_good_news_reads_so() -> None:
    over = message([BY_TYPE[EventType.CONDITION_ENDED]])
    assert (over.severity, over.title) == (Severity.INFO, "✔ over: A mirror does not answer: https://mirror.example")
    assert message([BY_TYPE[EventType.ROLLOUT_STARTED]]).title == "ℹ rollout #42: started"
    assert message([BY_TYPE[EventType.ROLLOUT_COMPLETED]]).title == "✖ rollout #42: completed with failures"


def test_by_default_successes_come_in_the_summary_alone() -> None:
    rule = Rule()
    assert not wants(rule, BY_TYPE[EventType.APPLIED], ())
    assert all(wants(rule, BY_TYPE[kind], ()) for kind in EventType if kind.value in USUAL)
    assert (rule.each_update, Rule(events=("update.*",)).each_update) == (False, True)
    assert not Rule(events=("update.*",), severity=Severity.ERROR).each_update


@pytest.mark.parametrize(
    ("events", "severity", "kind", "wanted"),
    [
        (("mirror-*",), "info", EventType.CONDITION_RAISED, True),
        (("mirror-*",), "error", EventType.CONDITION_RAISED, False),
        (("condition.ended",), "info", EventType.CONDITION_RAISED, False),
        (("host-*", "rollout.*"), "warning", EventType.APPROVAL_REQUESTED, True),
        (("host-*",), "info", EventType.FAILED, False),
    ],
)
def test_types_codes_and_severity_choose(events: tuple[str, ...], severity: str, kind: EventType, wanted: bool) -> None:
    assert wants(Rule(events=events, severity=Severity(severity)), BY_TYPE[kind], ()) is wanted


SHOP = About(host="web-1", labels={"env": "prod"}, container="shop", image="docker.io/library/nginx:1.27")


@pytest.mark.parametrize(
    ("selector", "about", "wanted"),
    [
        (Selector(hosts=("web-*",)), (SHOP,), True),
        (Selector(hosts=("db-*",)), (SHOP,), False),
        (Selector(labels={"env": "prod"}, images=("nginx",)), (SHOP,), True),
        (Selector(containers=("cart",)), (SHOP,), False),
        (Selector(hosts=("db-*",)), (SHOP, About(host="db-1")), True),
        (Selector(hosts=("db-1",), images=("nginx",)), (SHOP, About(host="db-1")), False),
        (Selector(images=("nginx",)), (About(image="docker.io/library/nginx:1.27"),), True),
        (Selector(hosts=("*",)), (About(image="docker.io/library/nginx:1.27"),), False),
        (Selector(hosts=("*",)), (), False),
    ],
)
def test_a_selector_takes_what_the_event_is_about(selector: Selector, about: tuple[About, ...], wanted: bool) -> None:
    assert wants(Rule(selector=selector), BY_TYPE[EventType.FAILED], about) is wanted


def test_a_channel_is_not_told_of_itself() -> None:
    failing = replace(
        BY_TYPE[EventType.CONDITION_RAISED], subject="ops", data={"code": FAILING, "title": "t", "text": "x"}
    )
    assert [wants(Rule(), failing, (), name) for name in ("ops", "mail")] == [False, True]


def test_a_name_that_no_event_has_is_refused() -> None:
    check(Rule(events=("mirror-down", "update.*")), ["mirror-down"])
    for wrong in ("mirror-dwon", "updates.*", ""):
        with pytest.raises(BadInput, match="cannot tell of"):
            check(Rule(events=(wrong,)), ["mirror-down"])


def test_waits_grow_and_end() -> None:
    waits = [wait(n) for n in range(1, 12)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (timedelta(seconds=5), LONGEST)
    assert wait(1, timedelta(seconds=90)) == timedelta(seconds=90)
    assert wait(1, timedelta(days=3)) == LONGEST
