"""The tables of the database. A change here needs a step in migrations/versions; a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# Versions and bytes outgrow 32 bits. SQLite's integers have 64 anyway, and it numbers rows only by INTEGER.
Big = BigInteger().with_variant(Integer, "sqlite")

# `fingerprint`, `groups`, `labels` and `owner` are as the source last showed them; `sha256` is that of the
# bytes last read, empty before. `worker` and `lease_until`: who works on it. `parent`: id of the container.
documents = Table(
    "documents",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("collection", String, nullable=False),
    Column("source", String, nullable=False, server_default=""),
    Column("uri", Text, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("parent", String, index=True),
    Column("fingerprint", String, nullable=False, server_default=""),
    Column("sha256", String, nullable=False),
    Column("recipe", String, nullable=False),
    Column("owner", String, nullable=False, server_default=""),
    Column("groups", JSON, nullable=False),
    Column("labels", JSON, nullable=False, server_default="[]"),
    Column("size_bytes", Big, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("live_version", Big, index=True),
    Column("attempts", Integer, nullable=False),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("job", String, index=True),
    Column("worker", String),
    Column("lease_until", Float),
    UniqueConstraint("tenant", "collection", "uri"),
    Index("documents_by_state", "state", "priority"),
)

# No foreign key to documents: a retired version outlives its document until the index has dropped its points.
versions = Table(
    "versions",
    metadata,
    Column("version", Big, primary_key=True),
    Column("document_id", String, nullable=False, index=True),
    Column("generation", Integer, nullable=False, server_default="1"),
    Column("status", String, nullable=False, index=True),
    Column("sha256", String, nullable=False, index=True),
    Column("recipe", String, nullable=False, server_default=""),
    Column("groups", JSON, nullable=False),
    Column("labels", JSON, nullable=False, server_default="[]"),
    Column("title", Text, nullable=False),
    Column("media_type", String, nullable=False),
    Column("language", String, nullable=False, server_default=""),
    Column("warnings", JSON, nullable=False, server_default="[]"),
    Column("pages", Integer, nullable=False),
    Column("chunks", Integer, nullable=False),
    Column("signature", LargeBinary),
    Column("published_at", Float),
    sqlite_autoincrement=True,  # as with a sequence, a number is never given twice, even when its row is gone
)

# Near-duplicates share a band of their signatures; this is how one finds the other.
bands = Table(
    "bands",
    metadata,
    Column("band", Integer, primary_key=True),
    Column("key", Integer, primary_key=True),
    Column("version", Big, ForeignKey("versions.version", ondelete="CASCADE"), primary_key=True, index=True),
)

chunks = Table(
    "chunks",
    metadata,
    Column("id", String, primary_key=True),
    Column("version", Big, ForeignKey("versions.version", ondelete="CASCADE"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("section", Integer, nullable=False, server_default="0"),
    Column("text", Text, nullable=False),
    Column("kind", String, nullable=False),
    Column("heading_path", JSON, nullable=False),
    Column("pages", JSON, nullable=False),
    Column("boxes", JSON, nullable=False, server_default="[]"),
    Column("language", String, nullable=False, server_default=""),
    Column("confidence", Float),
    Column("tokens", Integer, nullable=False),
    UniqueConstraint("version", "ordinal"),
)

# One run of ingestion. `wanted`: what was asked for; `plan`, `progress`: counts and seconds so far.
jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("collection", String, nullable=False),
    Column("source", String, nullable=False),
    Column("wanted", JSON, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("priority", Integer, nullable=False),
    Column("plan", JSON, nullable=False),
    Column("progress", JSON, nullable=False),
    Column("error", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("finished_at", Float),
    Column("worker", String),
    Column("lease_until", Float),
)

# Where the last finished run of a source ended.
cursors = Table(
    "cursors",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("collection", String, primary_key=True),
    Column("source", String, primary_key=True),
    Column("cursor", Text, nullable=False),
    Column("synced_at", Float, nullable=False),
)

# One index each. Exactly one is live; one may be building beside it, and one is kept to go back to.
generations = Table(
    "generations",
    metadata,
    Column("generation", Integer, primary_key=True),
    Column("state", String, nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("live_at", Float),
    Column("worker", String),
    sqlite_autoincrement=True,
)

meta = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", JSON, nullable=False),
)
