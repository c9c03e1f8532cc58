"""Metrics, alerts, dashboard and pages name the same things, and each alert fires when it should and not otherwise."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.controller.metric import MetricKind
from fleet.controller.metric_catalogue import CATALOGUE
from scripts import metrics_page
from tests import needs

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/fleet.rules.yml"
RULE_TESTS = sorted((ROOT / "deploy/prometheus").glob("*.test.yml"))
PROMETHEUS = ROOT / "deploy/prometheus/prometheus.yml"
DASHBOARD = ROOT / "deploy/grafana/fleet.json"
HOW_TO, REFERENCE = ROOT / "docs/how-to/monitoring.md", ROOT / "docs/metrics.md"
NAMES = {metric.name for metric in CATALOGUE}
_SERIES_OF_HISTOGRAMS = re.compile(r"_(?:bucket|sum|count)$")


def named(text: str) -> set[str]:
    """Return the metrics that *text* names; of the series of a histogram the histogram."""
    found = set(re.findall(r"\bfleet_[a-z_]+[a-z](?![a-z_*])", text))
    histograms = {metric.name for metric in CATALOGUE if metric.kind is MetricKind.HISTOGRAM}
    return {base if (base := _SERIES_OF_HISTOGRAMS.sub("", name)) in histograms else name for name in found}


def alerts() -> list[dict[str, Any]]:
    """Return the alerts."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def expressions() -> Iterator[str]:
    """Yield every expression of the dashboard."""
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (each["expr"] for each in dashboard()["annotations"]["list"] if "expr" in each)


@pytest.mark.parametrize("page", [RULES, *RULE_TESTS, DASHBOARD, HOW_TO, REFERENCE], ids=lambda page: page.name)
def test_no_metric_is_named_that_there_is_not(page: Path) -> None:
    """Also after one was given a better name."""
    assert named(page.read_text()) - NAMES == set()


def test_every_metric_is_documented_as_it_is_declared() -> None:
    """Written by scripts/metrics_page.py."""
    assert metrics_page.page(REFERENCE.read_text()) == REFERENCE.read_text()
    assert NAMES - named(REFERENCE.read_text()) == set()


@pytest.mark.parametrize("text", [str(each["expr"]) for each in alerts()] + list(expressions()))
def test_no_label_is_asked_for_that_its_metric_does_not_have(text: str) -> None:
    """A selector by a label that is not there selects nothing, for ever."""
    declared = {metric.name: {*metric.labels, "job", "instance", "le"} for metric in CATALOGUE}
    for name, selectors in re.findall(r"\b(fleet_[a-z_]+)\{([^}]*)\}", text):
        (metric,) = named(name)
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", selectors)) <= declared[metric], name


def test_every_alert_is_explained_and_tried() -> None:
    """By when it fires, and by when it does not."""
    names = [alert["alert"] for alert in alerts()]
    tried = [test for page in RULE_TESTS for test in yaml.safe_load(page.read_text())["tests"]]
    expected = [(each["alertname"], bool(each["exp_alerts"])) for test in tried for each in test["alert_rule_test"]]
    assert sorted(expected) == sorted((name, fires) for name in names for fires in (True, False))
    assert re.findall(r"^\| `(\w+)` \|", HOW_TO.read_text(), re.M) == names
    assert f"has {len(names)}." in HOW_TO.read_text()


def test_every_alert_says_how_urgent_it_is_and_what_to_do() -> None:
    for alert in alerts():
        assert alert["labels"]["severity"] in ("critical", "warning", "info"), alert["alert"]
        assert set(alert["annotations"]) == {"summary", "description"}, alert["alert"]


def test_alerts_fire_and_stay_quiet_as_their_tests_say() -> None:
    """By Prometheus's own engine."""
    told = _promtool("test", "rules", *(page.name for page in RULE_TESTS))
    assert told.returncode == 0, told.stdout + told.stderr


def test_prometheus_takes_the_example_of_its_configuration(tmp_path: Path) -> None:
    """With its rules; the files of the certificate and token are yours."""
    text = PROMETHEUS.read_text()
    for name in ("ca.crt", "token"):
        (tmp_path / name).touch()
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/fleet/", f"{tmp_path}/"))
    (tmp_path / RULES.name).write_text(RULES.read_text())
    told = _promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert told.returncode == 0, told.stdout + told.stderr
    assert yaml.safe_load(text)["scrape_configs"] == _shown()["scrape_configs"]


def _shown() -> Any:
    (block,) = re.findall(r"```yaml\n(.*?)```", HOW_TO.read_text(), re.S)
    return yaml.safe_load(block)


def _promtool(*arguments: str) -> "subprocess.CompletedProcess[str]":
    program = needs.promtool()
    return subprocess.run(
        [program, *arguments], cwd=RULES.parent, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_dashboard_has_twelve_panels_each_with_a_place_of_its_own() -> None:
    panels = dashboard()["panels"]
    assert len(panels) == len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == 12
    places = {(p["gridPos"]["x"] + dx, p["gridPos"]["y"] + dy) for p in panels for dx in range(8) for dy in range(8)}
    assert len(places) == 12 * 64
    assert max(x for x, _ in places) < 24


def test_the_dashboard_names_nobodys_own_data_source() -> None:
    """It is chosen where it is imported."""
    found = set(re.findall(r'"uid": "([^"]*)"', DASHBOARD.read_text()))
    assert found == {"fleet", "${datasource}", "-- Grafana --"}


def test_promql_of_the_dashboard_is_understood(tmp_path: Path) -> None:
    """By Prometheus's own parser, as rules with Grafana's variables filled in."""
    filled = [
        text.replace("$__rate_interval", "5m").replace("$__range", "1d").replace("$job", "fleet")
        for text in expressions()
    ]
    rules = [{"record": f"try:{number}", "expr": text} for number, text in enumerate(filled)]
    (tmp_path / "try.yml").write_text(yaml.safe_dump({"groups": [{"name": "try", "rules": rules}]}))
    told = _promtool("check", "rules", str(tmp_path / "try.yml"))
    assert told.returncode == 0, told.stdout + told.stderr
