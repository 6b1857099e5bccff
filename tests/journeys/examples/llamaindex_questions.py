"""Permafrost in LlamaIndex: passages for its query engines, answers and vectors through its own classes.

$ pip install permafrost-rag llama-index-llms-openai-like llama-index-embeddings-openai-like
$ python llamaindex_questions.py http://127.0.0.1:8000 "How many days of paid leave do employees have?"
"""

from __future__ import annotations

import os
import sys

from llama_index.core import Settings
from llama_index.core.llms import ChatMessage
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

from rag.sdk import Client


class PermafrostNodes(BaseRetriever):
    """Passages as nodes, with title and pages."""

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


def main(url: str, question: str) -> None:
    """Search, ask whole and streamed, embed: each on a line of its own."""
    server = {"api_base": f"{url}/v1", "api_key": os.environ.get("RAG_API_KEY", "none")}
    # Without these two LlamaIndex would take OpenAI's own service.
    Settings.llm = model = OpenAILike(model="auto", is_chat_model=True, **server)
    Settings.embed_model = vectors = OpenAILikeEmbedding(model_name="all-minilm-l6-v2", **server)
    with Client(url) as client:
        retriever = PermafrostNodes(client, limit=3)
        print("found:", retriever.retrieve(question)[0].node.get_content())
        # A query engine that hands its passages on as they are.
        engine = RetrieverQueryEngine.from_args(retriever, response_mode=ResponseMode.NO_TEXT)
        sources = engine.query(question).source_nodes
    print("sources:", ", ".join(source.node.metadata["title"] for source in sources))
    # The server answers from the documents itself: no prompt of LlamaIndex's comes between.
    asked = [ChatMessage(role="user", content=question)]
    print("answer:", model.chat(asked).message.content)
    print("streamed:", "".join(part.delta or "" for part in model.stream_chat(asked)))
    print("vector:", len(vectors.get_text_embedding(question)), "numbers")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
