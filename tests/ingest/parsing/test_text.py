from __future__ import annotations

import json

from ingest.parsing.text import parse_json


def test_a_line_of_json_ends_at_a_line_feed_only() -> None:
    records = [{"note": "The gate\u2028closes at ten."}, {"note": "The key\u0085hangs left."}]
    text = "\n".join(json.dumps(each, ensure_ascii=False) for each in records)
    told = " ".join(block.text for block in parse_json(text.encode()).blocks)
    assert told.count("note") == 2 and "closes at ten." in told and "hangs left." in told
