"""Templates of a channel: filled in a sandbox with little time and memory, and never a message lost because of one."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.errors import BadInput
from fleet.notify import child, fields, render
from fleet.notify.events import Event, EventType
from fleet.notify.examples import examples
from fleet.notify.template import Format, Template, check, write, write_all
from fleet.notify.text import LONGEST_BODY, message

BY_TYPE = {each.type: each for each in examples()}
FAILED = BY_TYPE[EventType.FAILED]
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "notifications.md"


def filled(body: str, *events: Event, **more: str) -> tuple[str, str]:
    """Fill a template in this process, as the child does; return title and body."""
    asked = {
        "title": "",
        "body": body,
        "html": False,
        **more,
        "messages": [fields.of_message(events or [FAILED], "ops")],
    }
    answer = render.run(asked)
    if "error" in answer:
        raise ValueError(answer["error"])
    (told,) = answer["messages"]
    if "error" in told:
        raise ValueError(told["error"])
    return told["title"], told["body"]


class TestFields:
    """What a template may say."""

    def test_each_event_has_each_field(self) -> None:
        for event in examples():
            found = fields.of_event(event)
            assert list(found) == list(fields.OF_EVENTS)
            for name, (empty, _) in fields.OF_EVENTS.items():
                assert type(found[name]) is type(empty), f"{name} of {event.type}"

    def test_nothing_that_events_hold_is_without_a_field(self) -> None:
        kept = {"channel", "plan_id"}
        for event in examples():
            assert set(event.data) - kept <= set(fields.OF_EVENTS), event.type

    def test_what_was_not_counted_is_none(self) -> None:
        """A template that names failures is filled where there were none."""
        went_well = replace(
            BY_TYPE[EventType.ROLLOUT_COMPLETED], data={"rollout": 1, "state": "completed", "hosts": {}}
        )
        body = "{{ events[0].hosts.failed }} {{ events[0].results.rolled_back }} {{ events[0].hosts.outdated }}"
        assert filled(body, went_well)[1] == "0 0 0"
        assert fields.of_event(BY_TYPE[EventType.AVAILABLE])["hosts"]["outdated"] == 25

    def test_the_page_names_each_field_and_no_other(self) -> None:
        section = PAGE.read_text(encoding="utf-8").partition("## Words of its own")[2].partition("\n## ")[0]
        told = re.findall(r"^\| `([a-z_]+)` \| (.+) \|$", section, re.MULTILINE)
        known = [*fields.OF_MESSAGES.items(), *((name, text) for name, (_, text) in fields.OF_EVENTS.items())]
        assert told == [(name, text.replace("|", "\\|")) for name, text in known]

    def test_the_examples_of_the_page_can_be_used(self) -> None:
        section = PAGE.read_text(encoding="utf-8").partition("## Words of its own")[2].partition("\n## ")[0]
        templates = re.findall(r"```jinja\n(.*?)```", section, re.DOTALL)
        assert templates
        for body in templates:
            check(Template(body=body), examples())


class TestFilled:
    """What comes of templates that can be used, as the notifier has them filled."""

    def test_title_and_text_are_in_words_of_its_own(self) -> None:
        template = Template(
            title="{{ severity|upper }}\n  {{ events|length }}",
            body="{% for e in events %}{{ e.host }}:{{ e.container }} {{ e.image }}\n{% endfor %}",
        )
        (found,) = write_all(template, [[FAILED]], "ops")
        assert (found.message.title, found.message.body) == ("ERROR 1", "web-1:shop docker.io/library/nginx:1.27")
        assert (found.format, found.wrong, found.message.severity) == (Format.TEXT, "", message([FAILED]).severity)

    def test_what_has_no_template_or_writes_nothing_is_as_ever(self) -> None:
        usual = message([FAILED])
        (found,) = write_all(Template(title="{{ channel }}", body="{% if false %}x{% endif %}"), [[FAILED]], "ops")
        assert (found.message.title, found.message.body) == ("ops", usual.body)
        assert write(Template(), [FAILED], "ops").message == usual

    def test_html_escapes_what_hosts_say(self) -> None:
        event = replace(FAILED, data={**FAILED.data, "reason": "<script>x</script>"})
        found = write(Template(body="<b>{{ events[0].reason }}</b>", format=Format.HTML), [event], "ops")
        assert (found.message.body, found.format) == ("<b>&lt;script&gt;x&lt;/script&gt;</b>", Format.HTML)

    def test_a_template_is_filled_for_each_event_and_for_all_in_one_when_it_is_saved(self) -> None:
        check(Template(body="{{ events[0].title }}"), examples())
        with pytest.raises(BadInput, match=r"body, line 2: .*no attribute 'hsot' \(of update.applied\)"):
            check(Template(body="x\n{{ events[0].hsot }}"), examples())
        with pytest.raises(BadInput, match="several events in one message"):
            check(Template(body="{{ 1 // (2 - count) if count < 3 else nothing }}"), examples())

    @pytest.mark.parametrize(
        ("body", "says"),
        [
            ("a\n{% for %}", "body, line 2: Expected an expression"),
            ("{{ hsot }}", "body, line 1: 'hsot' is undefined"),
            ("{% include 'x' %}", "body, line 1: no loader"),
            ("{{ lipsum() }}", "'lipsum' is undefined"),
            ("{{ 'x' * 30000 }}", "more than 20000 characters"),
            ("{% for i in range(10 ** 9) %}x{% endfor %}", "Range too big"),
        ],
    )
    def test_what_is_wrong_is_said_with_its_line(self, body: str, says: str) -> None:
        with pytest.raises(ValueError, match=re.escape(says)):
            filled(body)

    def test_what_is_too_long_for_a_message_is_wrong(self) -> None:
        (found,) = write_all(Template(body="{{ 'x' * 7000 }}"), [[FAILED]], "ops")
        assert found.wrong == f"body: it is longer than {LONGEST_BODY} characters"
        with pytest.raises(BadInput, match="20000 are the most"):
            check(Template(body="x" * 20_001), [])


class TestBounded:
    """What a template cannot do, whoever wrote it."""

    @pytest.mark.parametrize(
        "body",
        [
            "{{ ''.__class__.__mro__ }}",
            "{{ events.__class__.__base__.__subclasses__() }}",
            "{{ range.__globals__ }}",
            "{{ cycler.__init__.__globals__.os.environ }}",
            "{{ self._TemplateReference__context }}",
            "{{ '{0.__class__}'.format(1) }}",
            "{{ events.append(1) }}",
            "{{ events|attr('__class__') }}",
            "{% set x = events[0].update({'a': 1}) %}",
        ],
    )
    def test_the_sandbox_lets_nothing_else_be_reached(self, body: str) -> None:
        try:
            _, text = filled(body)
        except ValueError:
            return
        assert "class" not in text
        assert "environ" not in text

    @pytest.mark.parametrize(
        "body",
        [
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            pytest.param("{% set x = 9 ** (9 ** 9) %}", marks=pytest.mark.full),
        ],
    )
    def test_one_without_an_end_is_ended_and_the_message_goes_out(self, body: str) -> None:
        found = write(Template(title="x", body=body), [FAILED], "ops")
        usual = message([FAILED])
        assert found.message.title == usual.title
        assert found.message.body.startswith(usual.body)
        assert (
            "could not be used: it takes too long, or too much memory. See: fleet notify preview ops)"
            in found.message.body
        )

    def test_one_that_fills_the_memory_is_refused_it(self) -> None:
        (found,) = write_all(Template(body="{% set x = 'a' * 10 ** 9 %}{{ x|length }}"), [[FAILED]], "ops")
        assert found.wrong == "body: it takes too much memory"

    def test_its_process_knows_nothing_of_the_centre(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("FLEET_DATABASE_URL", "AWS_SECRET", "LANG"):
            monkeypatch.setenv(name, "hunter2")
        assert set(child.environment(whole=False)) & {"FLEET_DATABASE_URL", "AWS_SECRET", "LANG"} == {"LANG"}
        assert set(child.environment(whole=True)) & {"FLEET_DATABASE_URL", "AWS_SECRET"} == {"AWS_SECRET"}
