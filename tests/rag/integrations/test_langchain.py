from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_tests.unit_tests import ChatModelUnitTests

from rag.errors import BadRequest
from rag.integrations.langchain import ChatPermafrost, PermafrostRetriever
from rag.sdk import Client
from rag.types import Message


class TestChatPermafrost(ChatModelUnitTests):
    """LangChain's own suite for chat models."""

    @property
    def chat_model_class(self) -> type[ChatPermafrost]:
        return ChatPermafrost

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False


@pytest.fixture
def client(service: Any) -> Any:
    with Client(service.url) as client:
        yield client


def test_the_retriever_gives_documents_that_say_where_they_stand(client: Client) -> None:
    found = PermafrostRetriever(source=client, k=1).invoke("hotels at night")
    assert [document.page_content for document in found] == ["Hotels are paid up to 140 euros a night."]
    assert found[0].metadata["title"] == "Travel"
    assert found[0].metadata["pages"] == [2]
    assert found[0].metadata["sparse"] == 3.0


def test_the_chat_model_answers_with_citations_and_usage(service: Any, client: Client) -> None:
    turns = [SystemMessage("Be brief."), HumanMessage("Hi"), AIMessage("Hello"), HumanMessage("paid leave?")]
    reply = ChatPermafrost(source=client).invoke(turns)
    assert reply.text == "Employees have 28 days of paid leave a year. [1]"
    assert reply.usage_metadata["total_tokens"] == 48
    assert reply.response_metadata["rag"]["citations"][0]["title"] == "Leave"
    assert service.library.asked[0]["history"] == (Message("user", "Hi"), Message("assistant", "Hello"))


def test_the_chat_model_streams_the_same(client: Client) -> None:
    chunks = list(ChatPermafrost(source=client, model="extract").stream("paid leave?"))
    assert len(chunks) > 3
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    assert isinstance(whole, AIMessageChunk)
    assert whole.text == "Employees have 28 days of paid leave a year. [1]"
    assert whole.usage_metadata["output_tokens"] == 8
    assert whole.response_metadata["rag"]["outcome"] == "quoted"


def test_a_chain_of_both_works(client: Client) -> None:
    chain = PermafrostRetriever(source=client, k=1) | (lambda found: found[0].page_content)
    assert "28 days" in chain.invoke("paid leave")


def test_the_last_message_must_be_a_question(client: Client) -> None:
    with pytest.raises(BadRequest, match="HumanMessage"):
        ChatPermafrost(source=client).invoke([AIMessage("Hello")])
