"""An example: tickets of a support desk, as a source of your own and in a format of your own.

async with open_pipeline(Settings(home="kb"), parsers={".ticket": TicketParser}) as pipeline:
    summary = await pipeline.run(TicketSource(Path("export.json")), principal=Principal())
"""

from __future__ import annotations

import json
from pathlib import Path

from ingest.parsing.blocks import Block, ParsedDocument
from ingest.sources.source import Changes, Listed
from rag.errors import Damaged, NotFound, SourceError


class TicketParser:
    """Reads one ticket: its subject, what was said in turn, and the answer."""

    def parse(self, data: bytes, name: str) -> ParsedDocument:
        try:
            ticket = json.loads(data)
            turns = [f"{turn['who']}: {turn['said']}" for turn in ticket["turns"]]
        except (ValueError, KeyError, TypeError):
            raise Damaged("this is no ticket") from None
        blocks = (Block("heading", ticket["subject"], level=1), *(Block("text", turn) for turn in turns))
        return ParsedDocument(blocks, title=ticket["subject"])


class TicketSource:
    """The tickets of an export. Its cursor is the time of the newest one that was seen."""

    name = "tickets"

    def __init__(self, export: Path) -> None:
        self._export = export

    def changes(self, cursor: str) -> Changes:
        tickets = self._tickets()
        newer = [ticket for ticket in tickets.values() if str(ticket["changed"]) > cursor]
        items = tuple(
            Listed(
                uri=f"tickets/{ticket['id']}",
                fingerprint=str(ticket["changed"]),
                name=f"{ticket['id']}.ticket",
                groups=tuple(ticket["groups"]),
            )
            for ticket in newer
            if not ticket["closed"]
        )
        gone = tuple(f"tickets/{ticket['id']}" for ticket in newer if ticket["closed"])
        latest = max((str(ticket["changed"]) for ticket in newer), default=cursor)
        return Changes(items, gone=gone, cursor=latest)

    def fetch(self, uri: str, into: Path) -> Path:
        ticket = self._tickets().get(uri.removeprefix("tickets/"))
        if ticket is None:
            raise NotFound(f"no ticket {uri}")
        into.write_text(json.dumps(ticket))
        return into

    def close(self) -> None:
        """Nothing is held."""

    def _tickets(self) -> dict[str, dict[str, object]]:
        try:
            return {ticket["id"]: ticket for ticket in json.loads(self._export.read_text())}
        except (OSError, ValueError) as error:
            raise SourceError(f"the export cannot be read: {error}") from None
