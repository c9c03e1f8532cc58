"""The tables of what shall be done: rollouts, waves, hosts in them, schedules, plans and policies."""

from sqlalchemy import ForeignKey, Index, PrimaryKeyConstraint, Table
from sqlalchemy import text as sql

from fleet.history.sql.columns import METADATA, big, document, flag, items, number, text, time, uid, words
from fleet.history.tables.words import PolicyKind, ScheduleAction
from fleet.rollouts.states import BAD, LIVE, HostState, RolloutState, WaveState
from fleet.rollouts.stops import StopKind

IS_LIVE = "state IN ({})".format(", ".join(f"'{state}'" for state in LIVE))
_IS_PARKED = f"state = '{HostState.PARKED}'"
_IS_BAD = "state IN ({})".format(", ".join(f"'{state}'" for state in BAD))

rollouts = Table(
    "rollouts",
    METADATA,
    uid("id", "UUIDv7", primary_key=True),
    number("number", "for people: #42; in the order in which they were made"),
    words("state", RolloutState, "how far it is"),
    document("spec", "waves, limits and times; never changes"),
    items("holds", "the reasons why it sends nothing new; empty: none"),
    text("asked_by", "person:NAME, schedule:NAME or rollout:ID"),
    uid("plan_id", "the plan that was applied; plans are pruned, so it may be gone", nullable=True),
    text("reason", "why it was made or stopped, for people"),
    time("created_at", "when it was made"),
    time("started_at", "when it began to run", nullable=True),
    time("ended_at", "when it was over", nullable=True),
    uid("way_back_of", "the rollout that this one undoes; null: it undoes none", nullable=True),
    flag(
        "back",
        "whether it brings containers back to what ran before; null: written before that was told, its plan says so",
        nullable=True,
    ),
    uid("superseded_by", "a newer rollout of the same images to the same hosts; null: none", nullable=True),
    number("forgiven", "failures over all waves that a person saw and accepted; null: none", nullable=True),
    time("counted_from", "tries that ended before this do not count as failures in a row; null: all do", nullable=True),
    Index("uq_rollouts_number", "number", unique=True),
    Index(
        "ix_rollouts_active",
        "id",
        sqlite_where=sql("ended_at IS NULL"),
        postgresql_where=sql("ended_at IS NULL"),
    ),
    Index("ix_rollouts_way_back_of", "way_back_of"),
    comment="orders to the fleet; even one update of one container is one",
)

waves = Table(
    "waves",
    METADATA,
    uid("rollout_id", "which rollout", ForeignKey("rollouts.id"), primary_key=True),
    number("number", "its place, from 0", primary_key=True),
    words("state", WaveState, "how far it is"),
    time("opened_at", "when its hosts could first be dispatched", nullable=True),
    time("ended_at", "when its last host ended", nullable=True),
    big("active_ms", "its active time up to active_since, or in all, milliseconds; null: none", nullable=True),
    time("active_since", "since when its active time runs; null: it stands still", nullable=True),
    time("soak_since", "since when it soaks; null: its gate is not met", nullable=True),
    text("approved_by", "who approved it; null: nobody", nullable=True),
    time("approved_at", "when it was approved", nullable=True),
    time("prefetched_at", "when its hosts were told to pull ahead; null: they were not", nullable=True),
    text("decided_by", "who waived or last retried it; null: nobody", nullable=True),
    text("reason", "why it ended as it did, or why it was waived; null: there is nothing to say", nullable=True),
    document("evidence", "the numbers that its gate was judged by; null: it was not judged", nullable=True),
    number("hosts", "how many hosts it has; null: made by an earlier release, so they are counted", nullable=True),
    comment="the waves of each rollout",
)

rollout_hosts = Table(
    "rollout_hosts",
    METADATA,
    # Neither is a foreign key: rollouts and hosts are never deleted, and to look both up for each row of a large plan takes
    # as long as to write it.
    uid("rollout_id", "which rollout"),
    uid("host_id", "which host"),
    number("wave", "the number of its wave"),
    number("position", "its place in the rollout's order, from 0"),
    words("state", HostState, "where it stands"),
    items(
        "targets", "what the plan pinned for it: one JSON object a container; where it has a shape, the containers' ids"
    ),
    number("tries", "how many tries were spent"),
    uid("command_id", "the latest command; null: none yet", nullable=True),
    text("reason", "why it failed, waits again, was skipped or withdrawn"),
    time("not_before", "when its next try may begin; null: at once", nullable=True),
    time("changed_at", "when its state last changed"),
    text("failure", "whose fault the latest failed try is; null: none failed", nullable=True),
    time("parked_at", "when it was parked; null: it is not parked", nullable=True),
    time(
        "look_at",
        "when something was told of it while it was parked, so that its rollout looks at it; null: nothing was",
        nullable=True,
    ),
    number(
        "shape", "which of the rollout's shapes it has; null: what was pinned for it stands in targets", nullable=True
    ),
    # By the host first: that of the rollout begins the index of its waves.
    PrimaryKeyConstraint("host_id", "rollout_id"),
    # The rule that two orders never meet on one host, over all rollouts, kept by the database itself.
    Index(
        "uq_rollout_hosts_live_host", "host_id", unique=True, sqlite_where=sql(IS_LIVE), postgresql_where=sql(IS_LIVE)
    ),
    Index("ix_rollout_hosts_wave", "rollout_id", "wave", "state", "position"),
    Index(
        "ix_rollout_hosts_failed",
        "rollout_id",
        "changed_at",
        sqlite_where=sql("failure IS NOT NULL"),
        postgresql_where=sql("failure IS NOT NULL"),
    ),
    Index(
        "ix_rollout_hosts_parked",
        *("rollout_id", "look_at", "parked_at"),
        sqlite_where=sql(_IS_PARKED),
        postgresql_where=sql(_IS_PARKED),
    ),
    Index(
        "ix_rollout_hosts_parked_host",
        "host_id",
        sqlite_where=sql(_IS_PARKED),
        postgresql_where=sql(_IS_PARKED),
    ),
    Index("ix_rollout_hosts_bad", "host_id", sqlite_where=sql(_IS_BAD), postgresql_where=sql(_IS_BAD)),
    comment="the hosts of each rollout, in exactly one state each",
)

rollout_shapes = Table(
    "rollout_shapes",
    METADATA,
    uid("rollout_id", "which rollout", primary_key=True),
    number("number", "its place among the shapes of the rollout", primary_key=True),
    items("pins", "what the plan pinned for each host of this shape: one JSON object a container, without its id"),
    comment="what many hosts of a rollout have in common, once",
)

# Nobody looks for one of its rows: it has no key.
wave_moves = Table(
    "wave_moves",
    METADATA,
    uid("rollout_id", "which rollout"),
    number("wave", "the number of the wave"),
    words("state", HostState, "a state but pending"),
    number("hosts", "how many hosts came into it; below zero: left it"),
    Index(None, "rollout_id"),
    comment="by how much the hosts of each wave in each state became more or fewer; on PostgreSQL",
)

schedules = Table(
    "schedules",
    METADATA,
    uid("id", "UUIDv7", primary_key=True),
    text("name", "what people call it"),
    text("cron", "five fields"),
    text("zone", "the time zone that cron is read in"),
    words("action", ScheduleAction, "what it does when it is due"),
    document("selector", "which hosts and images; empty: all"),
    document("spec", "the spec of the rollouts that it makes; null: the default", nullable=True),
    flag("enabled", "whether it runs"),
    text("created_by", "who made it"),
    time("created_at", "when it was made"),
    time("next_run_at", "when it is due", nullable=True),
    time("last_run_at", "when it last ran", nullable=True),
    text("last_result", "what came of the last run, for people"),
    time("leased_until", "until when a planner that runs it keeps others away", nullable=True),
    big("late_ms", "how late a run may begin, milliseconds; later it is missed; null: however late", nullable=True),
    number("missed", "how many runs never began; null: none", nullable=True),
    time("last_missed_at", "when the latest of them was due", nullable=True),
    Index("uq_schedules_name", "name", unique=True),
    Index(None, "next_run_at"),
    comment="what is done by the clock",
)

plans = Table(
    "plans",
    METADATA,
    uid("id", "UUIDv7", primary_key=True),
    document("selector", "which hosts and images it was made for"),
    document("document", "hosts, containers, old and new digests, warnings"),
    text("asked_by", "who made it"),
    time("created_at", "when it was made"),
    time("expires_at", "when it is too old to be applied"),
    uid("rollout_id", "the rollout that it became; null: not applied", nullable=True),
    Index(None, "expires_at"),
    comment="plans that may be applied",
)

policies = Table(
    "policies",
    METADATA,
    words("kind", PolicyKind, "to whom it applies", primary_key=True),
    text("subject", "empty for the fleet, name=value of the label, or the host's id in hex", primary_key=True),
    document("document", "the policy, only what it sets"),
    number("version", "how often it was written, from 1"),
    text("changed_by", "who wrote it last"),
    time("changed_at", "when it was written last"),
    comment="what hosts may do and how, as people wrote it",
)

caps = Table(
    "caps",
    METADATA,
    text("label", "the label by whose values hosts are counted", primary_key=True),
    text("most", "how many hosts of one value may be away at once, over all rollouts: 3, or 25%"),
    text("changed_by", "who wrote it last"),
    time("changed_at", "when it was written last"),
    comment="how many hosts may be away at once",
)

stops = Table(
    "stops",
    METADATA,
    uid("id", "UUIDv7", primary_key=True),
    words("kind", StopKind, "what is stopped"),
    document("selector", "which hosts, containers and images; empty: all"),
    text("digest", "the digest that is not wanted; empty but for a skip"),
    text("reason", "why, for people"),
    text("created_by", "who said so"),
    time("created_at", "when"),
    time("begins_at", "from when on it holds"),
    time("ends_at", "until when it holds; null: until it is lifted", nullable=True),
    text("lifted_by", "who lifted it; empty: nobody"),
    time("lifted_at", "when it was lifted; null: it was not", nullable=True),
    Index(
        "ix_stops_open",
        "id",
        sqlite_where=sql("lifted_at IS NULL"),
        postgresql_where=sql("lifted_at IS NULL"),
    ),
    comment="what people said shall not be updated for now",
)
