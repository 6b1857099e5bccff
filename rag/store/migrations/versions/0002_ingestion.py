"""Sources, permissions of their own, jobs, generations, boxes, and signatures of near-duplicates."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Big = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    widen_documents()
    widen_versions()
    widen_chunks()
    add_bands()
    add_jobs()
    add_cursors_and_generations()
    op.execute("UPDATE versions SET recipe = '1'")
    # What was indexed before is generation 1; which settings made it is not known, so none are compared.
    # The number is left to the database: a sequence that did not give it would give it again.
    op.execute("INSERT INTO generations (state, recipe, created_at) VALUES ('live', '{}', 0)")


def words(name: str, kind: type[sa.String] = sa.String) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default="")


def several(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON, nullable=False, server_default="[]")


def number(name: str, start: int) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, nullable=False, server_default=str(start))


def required(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def widen_documents() -> None:
    op.drop_index("documents_by_state", "documents")
    with op.batch_alter_table("documents") as table:
        table.alter_column("owner", new_column_name="worker")
    added = (words("source"), words("name", sa.Text), words("fingerprint"), words("owner"), several("labels"))
    for column in (
        *added,
        number("priority", 0),
        sa.Column("parent", sa.String),
        sa.Column("job", sa.String),
    ):
        op.add_column("documents", column)
    op.create_index("documents_by_state", "documents", ["state", "priority"])
    for name in ("parent", "job", "live_version"):
        op.create_index(f"ix_documents_{name}", "documents", [name])


def widen_versions() -> None:
    added = (number("generation", 1), words("recipe"), several("labels"), words("language"))
    made = (sa.Column("signature", sa.LargeBinary), sa.Column("published_at", sa.Float))
    for column in (*added, several("warnings"), *made):
        op.add_column("versions", column)
    op.create_index("ix_versions_sha256", "versions", ["sha256"])


def widen_chunks() -> None:
    for column in (number("section", 0), several("boxes"), words("language")):
        op.add_column("chunks", column)
    op.add_column("chunks", sa.Column("confidence", sa.Float))


def add_bands() -> None:
    belongs = sa.ForeignKey("versions.version", ondelete="CASCADE")
    op.create_table(
        "bands",
        sa.Column("band", sa.Integer, primary_key=True),
        sa.Column("key", sa.Integer, primary_key=True),
        sa.Column("version", Big, belongs, primary_key=True),
    )
    op.create_index("ix_bands_version", "bands", ["version"])


def add_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String, primary_key=True),
        *(required(name, sa.String) for name in ("tenant", "collection", "source")),
        required("wanted", sa.JSON),
        required("state", sa.String),
        required("priority", sa.Integer),
        required("plan", sa.JSON),
        required("progress", sa.JSON),
        required("error", sa.Text),
        required("created_at", sa.Float),
        sa.Column("finished_at", sa.Float),
        sa.Column("worker", sa.String),
        sa.Column("lease_until", sa.Float),
    )
    op.create_index("ix_jobs_state", "jobs", ["state"])


def add_cursors_and_generations() -> None:
    op.create_table(
        "cursors",
        *(sa.Column(name, sa.String, primary_key=True) for name in ("tenant", "collection", "source")),
        required("cursor", sa.Text),
        required("synced_at", sa.Float),
    )
    op.create_table(
        "generations",
        sa.Column("generation", sa.Integer, primary_key=True),
        required("state", sa.String),
        required("recipe", sa.JSON),
        required("created_at", sa.Float),
        sa.Column("live_at", sa.Float),
        sa.Column("worker", sa.String),
        sqlite_autoincrement=True,
    )
