"""The examples in the docstrings of the SDK, run as they stand there against a real server."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

from rag.sdk import async_client, client
from rag.sdk.connection import HERE


@pytest.mark.parametrize("module", [client, async_client], ids=["Client", "AsyncClient"])
def test_an_example_of_a_docstring_is_true(module: Any, service: Any) -> None:
    with client.Client(service.url) as opened:
        examples = doctest.DocTestFinder(exclude_empty=True).find(module)
        ran = 0
        for example in examples:
            for line in example.examples:
                line.source = line.source.replace(HERE, service.url)
            example.globs.setdefault("client", opened)
            result = doctest.DocTestRunner(verbose=False).run(example)
            assert result.failed == 0, example.name
            ran += result.attempted
    assert ran > 1
