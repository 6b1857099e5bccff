"""Permafrost in LlamaIndex and Haystack, as their users would write it; no adapter of ours is needed.

Where these packages are not installed, stand-ins with the same attributes take the place of their classes, so
that the code below runs in any case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from rag.sdk import Client

try:
    from llama_index.core.retrievers import BaseRetriever
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
except ImportError:

    class BaseRetriever:  # type: ignore[no-redef]
        def retrieve(self, text: str) -> list[Any]:
            return self._retrieve(SimpleNamespace(query_str=text))  # type: ignore[attr-defined]

    @dataclass
    class TextNode:  # type: ignore[no-redef]
        text: str
        id_: str
        metadata: dict[str, Any]

    @dataclass
    class NodeWithScore:  # type: ignore[no-redef]
        node: TextNode
        score: float

    QueryBundle = Any  # type: ignore[misc,assignment]

try:
    from haystack import Document, component
except ImportError:

    @dataclass
    class Document:  # type: ignore[no-redef]
        content: str
        id: str
        score: float
        meta: dict[str, Any] = field(default_factory=dict)

    def component(cls: Any) -> Any:  # type: ignore[no-redef]
        return cls

    component.output_types = lambda **_: lambda run: run  # type: ignore[attr-defined]


class PermafrostNodes(BaseRetriever):  # type: ignore[misc]
    """LlamaIndex: passages as nodes, for any of its query engines."""

    def __init__(self, client: Client, limit: int = 8) -> None:
        self.client, self.limit = client, limit
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [
            NodeWithScore(
                node=TextNode(
                    text=passage.chunk.text,
                    id_=passage.chunk.id,
                    metadata={"title": passage.title, "pages": list(passage.chunk.pages)},
                ),
                score=passage.score,
            )
            for passage in self.client.search(query_bundle.query_str, limit=self.limit)
        ]


@component
class PermafrostDocuments:
    """Haystack: passages as documents, for any of its pipelines."""

    def __init__(self, client: Client, limit: int = 8) -> None:
        self.client, self.limit = client, limit

    @component.output_types(documents=list[Document])
    def run(self, query: str) -> dict[str, list[Document]]:
        found = self.client.search(query, limit=self.limit)
        documents = [
            Document(
                content=passage.chunk.text,
                id=passage.chunk.id,
                score=passage.score,
                meta={"title": passage.title, "pages": list(passage.chunk.pages)},
            )
            for passage in found
        ]
        return {"documents": documents}


@pytest.fixture
def client(service: Any) -> Any:
    with Client(service.url) as client:
        yield client


def test_llamaindex_gets_nodes_with_scores(client: Client) -> None:
    nodes = PermafrostNodes(client, limit=1).retrieve("hotels at night")
    assert [node.node.text for node in nodes] == ["Hotels are paid up to 140 euros a night."]
    assert (nodes[0].node.metadata["title"], nodes[0].score) == ("Travel", 0.5)


def test_haystack_gets_documents_with_scores(client: Client) -> None:
    found = PermafrostDocuments(client, limit=1).run(query="hotels at night")["documents"]
    assert [document.content for document in found] == ["Hotels are paid up to 140 euros a night."]
    assert (found[0].meta["pages"], found[0].score) == ([2], 0.5)
