"""Every metric there is, by part. docs/metrics.md shows the same, and a test holds them together."""

from fleet.controller.metric import Metric, MetricKind, Part


def _gauge(part: Part, name: str, text: str, *labels: str, most: str = "1") -> Metric:
    return Metric(name=name, kind=MetricKind.GAUGE, part=part, text=text, labels=labels, most=most)


def _counter(part: Part, name: str, text: str, *labels: str, most: str = "1") -> Metric:
    return Metric(name=name, kind=MetricKind.COUNTER, part=part, text=text, labels=labels, most=most)


def _histogram(part: Part, name: str, text: str, *labels: str, most: str) -> Metric:
    return Metric(name=name, kind=MetricKind.HISTOGRAM, part=part, text=text, labels=labels, most=most)


_NAMED = "500, and some named other"
_ROLLOUTS = "20 rollouts"

BUILD = _gauge(Part.CENTRE, "fleet_build_info", "Always 1; the version of the centre.", "version")
LAST_TICK = _gauge(
    Part.CENTRE,
    "fleet_scheduler_last_tick_timestamp_seconds",
    "When the planner last finished a tick. Absent where no planner ran on this machine.",
)
TICK = _gauge(
    Part.CENTRE,
    "fleet_scheduler_last_tick_duration_seconds",
    "How long the last tick of the planner took. Absent where no planner ran on this machine.",
)
BROKER_UP = _gauge(Part.CENTRE, "fleet_broker_up", "Whether the broker answers: 1 or 0.")
QUEUES = _gauge(
    Part.CENTRE,
    "fleet_queue_depth",
    "Messages that wait: inbox, what hosts wrote and nobody has read (absent where the broker does not answer);"
    " outbox, what is not sent to hosts yet.",
    "queue",
    most="2",
)
DATABASE = _gauge(Part.CENTRE, "fleet_database_size_bytes", "How large the database is, with its indexes.")

HOSTS = _gauge(
    Part.FLEET,
    "fleet_hosts",
    "Hosts by how they stand: online, silent (no word for 15 minutes), new (never heard of).",
    "state",
    most="3",
)
AGENTS = _gauge(
    Part.FLEET,
    "fleet_agents",
    "Hosts by the version of their agents; the 20 that most have, and other. Empty where it is not known yet.",
    "version",
    most="21",
)
COMMANDS = _gauge(
    Part.FLEET, "fleet_commands", "Commands to hosts that have not ended, by how far they are.", "state", most="6"
)
ROLLOUTS = _gauge(Part.FLEET, "fleet_rollouts", "Rollouts that have not ended, by state.", "state", most="5")
HELD = _gauge(
    Part.FLEET,
    "fleet_rollouts_held",
    "Rollouts that have not ended and send nothing new, by why; one with two reasons is in both.",
    "hold",
    most="8",
)
ROLLOUT_HOSTS = _gauge(
    Part.FLEET,
    "fleet_rollout_hosts",
    "Hosts of a rollout that has not ended, by where they stand in it; of the 20 newest such rollouts.",
    "rollout",
    "state",
    most=f"{_ROLLOUTS} by 11 states",
)
ROLLOUT_EVENT = _gauge(
    Part.FLEET,
    "fleet_rollout_last_event_timestamp_seconds",
    "When something last happened to a rollout that has not ended; of the 20 newest such rollouts.",
    "rollout",
    most=_ROLLOUTS,
)
SCHEDULE_LAST = _gauge(
    Part.FLEET,
    "fleet_schedule_last_run_timestamp_seconds",
    "When a schedule last ran. Absent where it never did.",
    "schedule",
    most="one a schedule",
)
SCHEDULE_NEXT = _gauge(
    Part.FLEET,
    "fleet_schedule_next_run_timestamp_seconds",
    "When a schedule is due. Absent where it is paused.",
    "schedule",
    most="one a schedule",
)
SCHEDULE_MISSED = _counter(
    Part.FLEET,
    "fleet_schedule_missed_total",
    "Runs of a schedule that never began, since it was made.",
    "schedule",
    most="one a schedule",
)
CONDITIONS = _gauge(
    Part.FLEET,
    "fleet_conditions",
    "Of how many hosts, mirrors or images a condition held when the planner last looked, every five minutes. The late"
    " scheduler and the inbox that is behind have metrics of their own.",
    "code",
    "severity",
    most="one a condition of the catalogue",
)
CONDITIONS_AT = _gauge(
    Part.FLEET, "fleet_conditions_last_look_timestamp_seconds", "When the planner last looked for conditions."
)
CHECKS = _counter(
    Part.FLEET,
    "fleet_checks_total",
    "Looks at what a tag resolves to, by registry, by what came of it (resolved; refused: the tag would have gone back; failed)"
    " and by who asked (centre; host: with its own login).",
    "registry",
    "outcome",
    "by",
    most=_NAMED,
)
UPDATES = _counter(Part.FLEET, "fleet_updates_total", "Updates of containers, by outcome.", "outcome", most="7")
PHASES = _histogram(
    Part.FLEET,
    "fleet_update_duration_seconds",
    "How long each phase of updates took, of those that were reached.",
    "phase",
    most="6 phases by 16",
)
DOWNTIME = _histogram(
    Part.FLEET,
    "fleet_update_downtime_seconds",
    "How long containers were away, from the old one's stop until one ran again; of those that were stopped.",
    most="16",
)
PULLS = _counter(
    Part.FLEET,
    "fleet_pulls_total",
    "Pulls, by the source that served most of their bytes (empty: none, or not known), by the image's registry and by outcome:"
    " pulled; present, the engine had it; failed.",
    "mirror",
    "registry",
    "outcome",
    most=_NAMED,
)
BYTES = _counter(
    Part.FLEET,
    "fleet_pull_bytes_total",
    "Verified bytes that were passed to engines, by the source that served them, and whether it stood as mirror or origin.",
    "mirror",
    "role",
    most=_NAMED,
)
ATTEMPTS = _counter(
    Part.FLEET,
    "fleet_mirror_attempts_total",
    "Pulls in which a source was asked, or passed over because it had just failed, by how it did.",
    "mirror",
    "result",
    most=_NAMED,
)
FALLBACKS = _counter(
    Part.FLEET,
    "fleet_mirror_fallbacks_total",
    "Pulls that a later source served in the place of this one, by why this one did not.",
    "mirror",
    "reason",
    most=_NAMED,
)
NOTIFICATIONS = _counter(
    Part.FLEET,
    "fleet_notifications_total",
    "Events on their way to channels: sent, the channel took it; failed, it did not, and it is tried again; given_up.",
    "outcome",
    most="3",
)
PUSHES_HEARD = _counter(
    Part.FLEET,
    "fleet_pushes_heard_total",
    "What registries said at receivers, by whose form it had, and what came of it: asked, a tag that the fleet runs is asked for soon;"
    " nothing, it names none; and by none unread, the form is not known; limited, it came too soon; refused, the secret is wrong."
    " Since the web process began.",
    "sender",
    "outcome",
    most="2 a form, and 3",
)
LIMIT_REMAINING = _gauge(
    Part.FLEET,
    "fleet_registry_ratelimit_remaining",
    "How often a registry may still be asked by the centre in its window, as it last said. Absent once that window is over.",
    "registry",
    most="one an endpoint that says so",
)
LIMIT = _gauge(
    Part.FLEET,
    "fleet_registry_ratelimit_limit",
    "How often it may be asked in a whole window.",
    "registry",
    most="one an endpoint that says so",
)

_MIRRORS = "200 mirrors"
MIRROR_UP = _gauge(
    Part.MIRRORS,
    "fleet_mirror_up",
    "Whether a host gets answers of a mirror, by the newest looks within two days: 0 where all found it down or its"
    " certificate not to be trusted.",
    "mirror",
    most=_MIRRORS,
)
MIRROR_HOSTS = _gauge(
    Part.MIRRORS,
    "fleet_mirror_hosts",
    "Hosts by the worst that their newest looks at a mirror found, among its 200 newest looks.",
    "mirror",
    "state",
    most=f"{_MIRRORS} by 7 states",
)
MIRROR_PROBE = _gauge(
    Part.MIRRORS,
    "fleet_mirror_probe_duration_seconds",
    "How long a mirror took to answer: the median of these looks.",
    "mirror",
    most=_MIRRORS,
)
MIRROR_SUCCESS = _gauge(
    Part.MIRRORS,
    "fleet_mirror_last_success_timestamp_seconds",
    "When a mirror was last found well, or last served. Absent where neither is among what was read.",
    "mirror",
    most=_MIRRORS,
)
MIRROR_TLS = _gauge(
    Part.MIRRORS,
    "fleet_mirror_tls_not_after_timestamp_seconds",
    "When the first of a mirror's certificates that hosts saw expires. Absent where none was seen.",
    "mirror",
    most=_MIRRORS,
)

CONTAINERS = _gauge(
    Part.INVENTORY, "fleet_containers", "Containers by the engine's word for how they are.", "state", most="8"
)
FOLLOWED = _gauge(
    Part.INVENTORY,
    "fleet_followed_containers",
    "Containers that follow a tag, by how they stand to it: current, outdated, unknown; as fleet outdated tells it.",
    "freshness",
    most="3",
)

_A_HOST = "one a host"
HOST_INFO = _gauge(
    Part.HOSTS,
    "fleet_host_info",
    "Always 1; what a host told of itself.",
    "host",
    "agent_version",
    "engine_version",
    "architecture",
    most=_A_HOST,
)
HOST_SEEN = _gauge(
    Part.HOSTS,
    "fleet_host_last_seen_timestamp_seconds",
    "When a host was last heard of. Absent where it never was.",
    "host",
    most=_A_HOST,
)
HOST_CONTAINERS = _gauge(
    Part.HOSTS,
    "fleet_host_containers",
    "Containers of a host, by the engine's word for how they are.",
    "host",
    "state",
    most="one to 8 a host",
)
HOST_UPDATES = _counter(
    Part.HOSTS,
    "fleet_host_updates_total",
    "Updates of containers of a host, by outcome.",
    "host",
    "outcome",
    most="none to 7 a host",
)

SERIES = _gauge(Part.READING, "fleet_metrics_series", "How many series each part of all this has.", "part", most="5")
COLLECT = _gauge(
    Part.READING,
    "fleet_metrics_collect_duration_seconds",
    "How long it took to find each part when that was last done.",
    "part",
    most="5",
)

CATALOGUE: tuple[Metric, ...] = (
    BUILD,
    LAST_TICK,
    TICK,
    BROKER_UP,
    QUEUES,
    DATABASE,
    HOSTS,
    AGENTS,
    COMMANDS,
    ROLLOUTS,
    HELD,
    ROLLOUT_HOSTS,
    ROLLOUT_EVENT,
    SCHEDULE_LAST,
    SCHEDULE_NEXT,
    SCHEDULE_MISSED,
    CONDITIONS,
    CONDITIONS_AT,
    CHECKS,
    UPDATES,
    PHASES,
    DOWNTIME,
    PULLS,
    BYTES,
    ATTEMPTS,
    FALLBACKS,
    NOTIFICATIONS,
    PUSHES_HEARD,
    LIMIT_REMAINING,
    LIMIT,
    MIRROR_UP,
    MIRROR_HOSTS,
    MIRROR_PROBE,
    MIRROR_SUCCESS,
    MIRROR_TLS,
    CONTAINERS,
    FOLLOWED,
    HOST_INFO,
    HOST_SEEN,
    HOST_CONTAINERS,
    HOST_UPDATES,
    SERIES,
    COLLECT,
)
"""In the order in which they are declared; what is not in it is never shown."""
