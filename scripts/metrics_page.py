#!/usr/bin/env python3
"""Write the table of docs/metrics.md anew from the catalogue of metrics."""

from pathlib import Path

from fleet.controller.metric import Metric, Part
from fleet.controller.metric_catalogue import CATALOGUE

PAGE = Path(__file__).parents[1] / "docs/metrics.md"
BEGIN, END = "<!-- metrics: written by scripts/metrics_page.py -->", "<!-- metrics: end -->"
TITLES = {
    Part.CENTRE: "The centre's own processes",
    Part.FLEET: "The fleet, and what is counted",
    Part.MIRRORS: "Mirrors",
    Part.INVENTORY: "Containers",
    Part.HOSTS: "Each host",
    Part.READING: "The metrics themselves",
}


def tables() -> str:
    """Return a table for each part."""
    return "\n".join(line for part in Part for line in _table(part))


def _table(part: Part) -> list[str]:
    rows = [_row(metric) for metric in CATALOGUE if metric.part is part]
    head = ["| Metric | Labels | Series | Says |", "|---|---|---|---|"]
    return ["", f"### {TITLES[part]}", "", *head, *rows]


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` ({metric.kind}) | {labels} | {metric.most} | {metric.text} |"


def page(text: str) -> str:
    """Return the text of the page with these tables in it."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
