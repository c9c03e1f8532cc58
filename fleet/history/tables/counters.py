"""The tables of what was counted: counters go up with each fact, and stay when old facts are given up."""

from sqlalchemy import PrimaryKeyConstraint, Table

from fleet.history.sql.columns import METADATA, big, number, text, time, uid, words
from fleet.updates.outcome import Result

counters = Table(
    "counters",
    METADATA,
    text("counter", "what is counted, one word", primary_key=True),
    text(
        "labels", "the values of its labels as a JSON list, in the order in which they are declared", primary_key=True
    ),
    big("count", "how many there were since the table was made, or the sum of it in the counter's own unit"),
    comment="what metrics show as counters: never less than before",
)

host_updates = Table(
    "host_updates",
    METADATA,
    # No foreign key, as with all that is written with each outcome; rows of hosts that were removed are pruned.
    uid("host_id", "which host"),
    words("result", Result, "how the updates ended"),
    big("count", "how many there were since the table was made"),
    PrimaryKeyConstraint("host_id", "result"),
    comment="how many updates of each host ended how",
)

condition_counts = Table(
    "condition_counts",
    METADATA,
    text("code", "the condition's code in the catalogue", primary_key=True),
    number("subjects", "of how many hosts, mirrors or images it held"),
    time("looked_at", "when a planner last looked"),
    comment="which conditions held when a planner last looked: the latest look, never history",
)
