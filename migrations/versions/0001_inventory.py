"""Hosts, their keys and containers, tags and digests."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "hosts",
        sa.Column(
            "id",
            sa.Uuid(),
            nullable=False,
            comment="UUIDv7, made by the centre; names the host's queue, login and keys",
        ),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="what people call it; unique among the hosts that were not removed, and may change",
        ),
        sa.Column("labels", DOCUMENT, nullable=False, comment="label name -> value, for selectors and policy"),
        sa.Column(
            "broker_password_sha256",
            sa.Text(),
            nullable=False,
            comment="SHA-256 in hex of the host's password at the broker",
        ),
        sa.Column(
            "agent_version",
            sa.Text(),
            nullable=False,
            comment="version of Fleet on the host; empty until its first heartbeat",
        ),
        sa.Column("reads", DOCUMENT, nullable=False, comment="the message versions that the agent reads"),
        sa.Column(
            "engine_id",
            sa.Text(),
            nullable=False,
            comment="the engine's own id; two hosts with the same one are a condition",
        ),
        sa.Column("engine_name", sa.Text(), nullable=False, comment="the host's name as its engine knows it"),
        sa.Column("engine_version", sa.Text(), nullable=False, comment="version of the container engine"),
        sa.Column("api_version", sa.Text(), nullable=False, comment="version of the engine API that the agent talks"),
        sa.Column("os", sa.Text(), nullable=False, comment="operating system, as image platforms name it"),
        sa.Column(
            "architecture", sa.Text(), nullable=False, comment="processor architecture, as image platforms name it"
        ),
        sa.Column(
            "containerd_store", sa.Boolean(), nullable=False, comment="whether images live in the containerd store"
        ),
        sa.Column("problems", DOCUMENT, nullable=False, comment="what doctor would say of this host, each: code: text"),
        sa.Column(
            "mirrors",
            DOCUMENT,
            nullable=False,
            comment="the host's own mirror rules, of its files and daemon, as JSON objects",
        ),
        sa.Column(
            "snapshot_hash",
            sa.Text(),
            nullable=False,
            comment="hash of the snapshot that containers and mirrors hold; empty: none was taken",
        ),
        sa.Column(
            "outcomes_waiting",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="outcomes that the host still kept at its last heartbeat",
        ),
        sa.Column(
            "skew_ms",
            sa.BigInteger(),
            nullable=True,
            comment="the host's clock minus the centre's at the last heartbeat, milliseconds",
        ),
        sa.Column("created_at", TIME, nullable=False, comment="when it was added"),
        sa.Column("joined_at", TIME, nullable=True, comment="when its agent was first heard of"),
        sa.Column(
            "last_seen_at", TIME, nullable=True, comment="when its agent was last heard of, by the centre's clock"
        ),
        sa.Column("removed_at", TIME, nullable=True, comment="when it was removed; the row stays for the history"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hosts")),
        comment="the machines of the fleet",
    )
    op.create_index(
        "uq_hosts_name",
        "hosts",
        ["name"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "host_keys",
        sa.Column("kid", sa.Text(), nullable=False, comment="the key's id: its thumbprint"),
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="whose key it is"),
        sa.Column("public_key", sa.Text(), nullable=False, comment="the public key, as the road writes it"),
        sa.Column("created_at", TIME, nullable=False, comment="since when it holds"),
        sa.Column("revoked_at", TIME, nullable=True, comment="since when it does not hold any more"),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name=op.f("fk_host_keys_host_id")),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_host_keys")),
        comment="the public keys that messages of hosts are checked with; two may hold at once",
    )
    op.create_index(op.f("ix_host_keys_host_id"), "host_keys", ["host_id"], unique=False)
    op.create_table(
        "containers",
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="where it runs"),
        sa.Column("id", sa.Text(), nullable=False, comment="the engine's 64-digit id"),
        sa.Column("name", sa.Text(), nullable=False, comment="its name, without the leading slash"),
        sa.Column("reference", sa.Text(), nullable=False, comment="the reference as the user wrote it"),
        sa.Column(
            "image",
            sa.Text(),
            nullable=False,
            comment="the canonical registry/repository:tag that it follows; empty where it follows none (pinned, by id)",
        ),
        sa.Column("image_id", sa.Text(), nullable=False, comment="the engine's id of the image that runs, sha256:..."),
        sa.Column(
            "digests", DOCUMENT, nullable=False, comment="the digests by which the engine or agent knows the image"
        ),
        sa.Column("platform", sa.Text(), nullable=False, comment="os/architecture[/variant] of the image"),
        sa.Column("state", sa.Text(), nullable=False, comment="the engine's word: running, exited, ..."),
        sa.Column(
            "health",
            sa.Text(),
            nullable=False,
            comment="healthy, unhealthy, starting; empty where there is no HEALTHCHECK",
        ),
        sa.Column("labels", DOCUMENT, nullable=False, comment="the labels that steer Fleet or name a Compose project"),
        sa.Column("local_build", sa.Boolean(), nullable=False, comment="whether the image has no digest of a registry"),
        sa.Column("snapshot", sa.Text(), nullable=False, comment="hash of the snapshot that it was last seen in"),
        sa.Column("first_seen_at", TIME, nullable=False, comment="when a snapshot first held this container"),
        sa.Column("seen_at", TIME, nullable=False, comment="when a snapshot last held it"),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name=op.f("fk_containers_host_id")),
        sa.PrimaryKeyConstraint("host_id", "id", name=op.f("pk_containers")),
        comment="the latest snapshot of each host",
    )
    op.create_index(op.f("ix_containers_image"), "containers", ["image"], unique=False)
    op.create_index(op.f("ix_containers_name"), "containers", ["name"], unique=False)
    op.create_table(
        "container_digests",
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="where the container runs"),
        sa.Column("container_id", sa.Text(), nullable=False, comment="the engine's id of the container"),
        sa.Column("digest", sa.Text(), nullable=False, comment="one digest of the image that it runs"),
        sa.PrimaryKeyConstraint("host_id", "container_id", "digest", name=op.f("pk_container_digests")),
        comment="which containers run a digest; written with containers",
    )
    op.create_index(op.f("ix_container_digests_digest"), "container_digests", ["digest"], unique=False)
    op.create_table(
        "snapshot_parts",
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="whose snapshot"),
        sa.Column("hash", sa.Text(), nullable=False, comment="hash of the whole snapshot"),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False, comment="which part has come, from 0"),
        sa.Column("received_at", TIME, nullable=False, comment="when it came"),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name=op.f("fk_snapshot_parts_host_id")),
        sa.PrimaryKeyConstraint("host_id", "hash", "part", name=op.f("pk_snapshot_parts")),
        comment="the parts that have come of snapshots which are not whole yet",
    )
    op.create_table(
        "images",
        sa.Column("image", sa.Text(), nullable=False, comment="canonical registry/repository:tag"),
        sa.Column("digest", sa.Text(), nullable=False, comment="a digest that the tag had"),
        sa.Column("first_seen_at", TIME, nullable=False, comment="when the tag was first seen to have it"),
        sa.Column("last_seen_at", TIME, nullable=False, comment="when the tag was last seen to have it"),
        sa.Column("endpoint", sa.Text(), nullable=False, comment="the endpoint that first said so"),
        sa.PrimaryKeyConstraint("image", "digest", name=op.f("pk_images")),
        comment="every digest that every tag was seen to have",
    )
    op.create_index(op.f("ix_images_digest"), "images", ["digest"], unique=False)
    op.create_table(
        "tags",
        sa.Column("image", sa.Text(), nullable=False, comment="canonical registry/repository:tag"),
        sa.Column(
            "digest",
            sa.Text(),
            nullable=False,
            comment="the digest at the last check that succeeded; empty: none did yet",
        ),
        sa.Column("endpoint", sa.Text(), nullable=False, comment="the endpoint that said so"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why the last check failed; empty where it did not"),
        sa.Column("resolved_at", TIME, nullable=True, comment="when a check last succeeded"),
        sa.Column("checked_at", TIME, nullable=True, comment="when a check last ended, well or not"),
        sa.Column("leased_until", TIME, nullable=True, comment="until when a check that has begun keeps others away"),
        sa.PrimaryKeyConstraint("image", name=op.f("pk_tags")),
        comment="what each tag that containers follow resolves to now",
    )
    op.create_index(op.f("ix_tags_checked_at"), "tags", ["checked_at"], unique=False)
    op.create_table(
        "resolves",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7; travels in the request and its answer"),
        sa.Column("image", sa.Text(), nullable=False, comment="canonical registry/repository:tag that was asked for"),
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="the host that was asked, with its own credentials"),
        sa.Column("asked_at", TIME, nullable=False, comment="when it was asked"),
        sa.Column("answered_at", TIME, nullable=True, comment="when its answer came"),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name=op.f("fk_resolves_host_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resolves")),
        comment="checks that a host makes for the centre",
    )
    op.create_index(op.f("ix_resolves_image"), "resolves", ["image"], unique=False)


def downgrade() -> None:
    """Drop the tables, with all that is in them."""
    op.drop_table("resolves")
    op.drop_table("tags")
    op.drop_table("images")
    op.drop_table("snapshot_parts")
    op.drop_table("container_digests")
    op.drop_table("containers")
    op.drop_table("host_keys")
    op.drop_table("hosts")
