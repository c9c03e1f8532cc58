"""The tables of what there is: hosts, their keys and containers, tags and digests."""

from sqlalchemy import ForeignKey, Index, Table
from sqlalchemy import text as sql

from fleet.history.sql.columns import METADATA, big, document, flag, items, number, text, time, uid

hosts = Table(
    "hosts",
    METADATA,
    uid("id", "UUIDv7, made by the centre; names the host's queue, login and keys", primary_key=True),
    text("name", "what people call it; unique among the hosts that were not removed, and may change"),
    document("labels", "label name -> value, for selectors and policy"),
    text("broker_password_sha256", "SHA-256 in hex of the host's password at the broker"),
    text("agent_version", "version of Fleet on the host; empty until its first heartbeat"),
    items("reads", "the message versions that the agent reads"),
    text("engine_id", "the engine's own id; two hosts with the same one are a condition"),
    text("engine_name", "the host's name as its engine knows it"),
    text("engine_version", "version of the container engine"),
    text("api_version", "version of the engine API that the agent talks"),
    text("os", "operating system, as image platforms name it"),
    text("architecture", "processor architecture, as image platforms name it"),
    flag("containerd_store", "whether images live in the containerd store"),
    items("problems", "what doctor would say of this host, each: code: text"),
    items("mirrors", "the host's own mirror rules, of its files and daemon, as JSON objects"),
    text("snapshot_hash", "hash of the snapshot that containers and mirrors hold; empty: none was taken"),
    number("outcomes_waiting", "outcomes that the host still kept at its last heartbeat"),
    big("skew_ms", "the host's clock minus the centre's at the last heartbeat, milliseconds", nullable=True),
    time("created_at", "when it was added"),
    time("joined_at", "when its agent was first heard of", nullable=True),
    time("last_seen_at", "when its agent was last heard of, by the centre's clock", nullable=True),
    time("removed_at", "when it was removed; the row stays for the history", nullable=True),
    items("lives", "the last lives of its agent, the present one last; null: it told of none", nullable=True),
    time("life_since", "when the present one was first heard", nullable=True),
    time("rivals_at", "since when two agents are known to speak as it; nothing is sent to it", nullable=True),
    time("muted_at", "when its right to append was last taken for a while, since it sent too much", nullable=True),
    time("strangers_since", "since when somebody tries to log in as it with a void password", nullable=True),
    time("strangers_at", "when somebody last did", nullable=True),
    time("engine_since", "since when it tells of this engine; null: since before that was kept", nullable=True),
    Index(None, "engine_id"),
    Index(None, "created_at"),
    Index(
        "uq_hosts_name",
        "name",
        unique=True,
        sqlite_where=sql("removed_at IS NULL"),
        postgresql_where=sql("removed_at IS NULL"),
    ),
    comment="the machines of the fleet",
)

host_keys = Table(
    "host_keys",
    METADATA,
    text("kid", "the key's id: its thumbprint", primary_key=True),
    uid("host_id", "whose key it is", ForeignKey("hosts.id")),
    text("public_key", "the public key, as the road writes it"),
    time("created_at", "since when it holds"),
    time("revoked_at", "since when it does not hold any more", nullable=True),
    Index(None, "host_id"),
    comment="the public keys that messages of hosts are checked with; two may hold at once",
)

rekeys = Table(
    "rekeys",
    METADATA,
    uid("host_id", "which host", ForeignKey("hosts.id"), primary_key=True),
    text("kid", "the new key, which holds beside the old one; it is among host_keys"),
    text("password_sha256", "SHA-256 in hex of the new password at the broker"),
    time("asked_at", "when the host told of it"),
    time("heard_at", "when the new key was first used, which voids the old one; null: not yet", nullable=True),
    time("told_at", "when the broker was last told; null: it is to be told", nullable=True),
    comment="keys and passwords that are being replaced; a row is gone once the broker knows the new password alone",
)

containers = Table(
    "containers",
    METADATA,
    uid("host_id", "where it runs", ForeignKey("hosts.id"), primary_key=True),
    text("id", "the engine's 64-digit id", primary_key=True),
    text("name", "its name, without the leading slash"),
    text("reference", "the reference as the user wrote it"),
    text("image", "the canonical registry/repository:tag that it follows; empty where it follows none (pinned, by id)"),
    text("image_id", "the engine's id of the image that runs, sha256:..."),
    items("digests", "the digests by which the engine or agent knows the image"),
    text("platform", "os/architecture[/variant] of the image"),
    text("state", "the engine's word: running, exited, ..."),
    text("health", "healthy, unhealthy, starting; empty where there is no HEALTHCHECK"),
    document("labels", "the labels that steer Fleet or name a Compose project"),
    flag("local_build", "whether the image has no digest of a registry"),
    items(
        "own", "paths of what its user set among what an image may say, without a value; null: not told", nullable=True
    ),
    items("keeps", "paths in it at which it may write to what outlives it; null: not told", nullable=True),
    text("snapshot", "hash of the snapshot that it was last seen in"),
    time("first_seen_at", "when a snapshot first held this container"),
    time("seen_at", "when a snapshot last held it"),
    Index(None, "image"),
    Index(None, "name"),
    comment="the latest snapshot of each host",
)

container_digests = Table(
    "container_digests",
    METADATA,
    uid("host_id", "where the container runs", primary_key=True),
    text("container_id", "the engine's id of the container", primary_key=True),
    text("digest", "one digest of the image that it runs", primary_key=True),
    Index(None, "digest"),
    comment="which containers run a digest; written with containers",
)

# Nobody looks for one of its rows: it has no key.
container_moves = Table(
    "container_moves",
    METADATA,
    text("image", "the registry/repository:tag that they follow; empty: none"),
    text("digests", "the digests of their image, a JSON list as text"),
    flag("local_build", "whether the image has no digest of a registry"),
    text("state", "the engine's word: running, exited, ..."),
    number("containers", "how many came; below zero: went"),
    comment="by how much the containers of each kind became more or fewer; their sums are how many there are",
)

snapshot_parts = Table(
    "snapshot_parts",
    METADATA,
    uid("host_id", "whose snapshot", ForeignKey("hosts.id"), primary_key=True),
    text("hash", "hash of the whole snapshot", primary_key=True),
    number("part", "which part has come, from 0", primary_key=True),
    time("received_at", "when it came"),
    comment="the parts that have come of snapshots which are not whole yet",
)

images = Table(
    "images",
    METADATA,
    text("image", "canonical registry/repository:tag", primary_key=True),
    text("digest", "a digest that the tag had", primary_key=True),
    time("first_seen_at", "when the tag was first seen to have it"),
    time("last_seen_at", "when the tag was last seen to have it"),
    text("endpoint", "the endpoint that first said so"),
    Index(None, "digest"),
    comment="every digest that every tag was seen to have",
)

tags = Table(
    "tags",
    METADATA,
    text("image", "canonical registry/repository:tag", primary_key=True),
    text("digest", "the digest at the last check that succeeded; empty: none did yet"),
    text("endpoint", "the endpoint that said so"),
    text("reason", "why the last check failed; empty where it did not"),
    time("resolved_at", "when a check last succeeded", nullable=True),
    time("checked_at", "when a check last ended, well or not", nullable=True),
    time("leased_until", "until when a check that has begun keeps others away", nullable=True),
    text(
        "refused_digest",
        "a digest that the tag had before and went back to, which was refused; null: none",
        nullable=True,
    ),
    Index(None, "checked_at"),
    comment="what each tag that containers follow resolves to now",
)

resolves = Table(
    "resolves",
    METADATA,
    uid("id", "UUIDv7; travels in the request and its answer", primary_key=True),
    text("image", "canonical registry/repository:tag that was asked for"),
    uid("host_id", "the host that was asked, with its own credentials", ForeignKey("hosts.id")),
    time("asked_at", "when it was asked"),
    time("answered_at", "when its answer came", nullable=True),
    text("digest", "what it said; empty: that it cannot tell; null: nothing yet", nullable=True),
    Index(None, "image"),
    comment="checks that a host makes for the centre",
)
