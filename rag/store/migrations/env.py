"""What Alembic executes for every command: use the connection that upgrade.py hands over."""

from __future__ import annotations

from alembic import context

from rag.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
