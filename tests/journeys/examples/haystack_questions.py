"""Permafrost in Haystack: passages as documents in any pipeline, and answers through its own chat generator.

$ pip install permafrost-rag haystack-ai
$ python haystack_questions.py http://127.0.0.1:8000 "How many days of paid leave do employees have?"
"""

from __future__ import annotations

import os
import sys

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # before the import: nothing is told to anybody

from haystack import Document, Pipeline, component
from haystack.components.embedders import OpenAITextEmbedder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage, StreamingChunk
from haystack.utils import Secret

from rag.sdk import Client


@component
class PermafrostDocuments:
    """Passages as documents, with title and pages."""

    def __init__(self, client: Client, limit: int = 8) -> None:
        self.client, self.limit = client, limit

    @component.output_types(documents=list[Document])
    def run(self, query: str) -> dict[str, list[Document]]:
        """The passages for a question, best first."""
        documents = [
            Document(
                content=passage.chunk.text,
                id=passage.chunk.id,
                score=passage.score,
                meta={"title": passage.title, "pages": list(passage.chunk.pages)},
            )
            for passage in self.client.search(query, limit=self.limit)
        ]
        return {"documents": documents}


def main(url: str, question: str) -> None:
    """Search, ask whole and streamed, embed: each on a line of its own."""
    key = Secret.from_token(os.environ.get("RAG_API_KEY", "none"))
    server = {"api_base_url": f"{url}/v1", "api_key": key}
    with Client(url) as client:
        pipeline = Pipeline()
        pipeline.add_component("passages", PermafrostDocuments(client, limit=3))
        found = pipeline.run({"passages": {"query": question}})["passages"]["documents"]
    print("found:", found[0].content)
    print("sources:", ", ".join(document.meta["title"] for document in found))
    # The server answers from the documents itself: the question goes there as it is.
    asked = [ChatMessage.from_user(question)]
    answer = OpenAIChatGenerator(model="auto", **server).run(asked)["replies"][0]
    print("answer:", answer.text)
    parts: list[str] = []

    def hear(chunk: StreamingChunk) -> None:
        parts.append(chunk.content)

    OpenAIChatGenerator(model="auto", streaming_callback=hear, **server).run(asked)
    print("streamed:", "".join(parts))
    vector = OpenAITextEmbedder(model="all-minilm-l6-v2", **server).run(question)["embedding"]
    print("vector:", len(vector), "numbers")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
