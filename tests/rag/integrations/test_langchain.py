from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, RetrieversIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from rag.errors import BadRequest
from rag.integrations.langchain import ChatPermafrost, PermafrostEmbeddings, PermafrostRetriever
from rag.retrieval.filters import Filter
from rag.sdk import AsyncClient, Client
from rag.types import Message


@pytest.mark.filterwarnings("ignore:.*of no effect in ChatPermafrost")
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


class TestEmbeddingsConstruction(EmbeddingsUnitTests):
    """LangChain's own suite for the making of embeddings."""

    @property
    def embeddings_class(self) -> type[PermafrostEmbeddings]:
        return PermafrostEmbeddings


@pytest.fixture(scope="class")
def on_real_server(request: pytest.FixtureRequest, agents_url: str) -> None:
    request.cls.base_url = agents_url


@pytest.mark.anyio
@pytest.mark.usefixtures("on_real_server")
class TestEmbeddingsOfAServer(EmbeddingsIntegrationTests):
    """LangChain's own suite for embeddings, on the real embedder over HTTP, awaited and not."""

    base_url = ""

    @property
    def embeddings_class(self) -> type[PermafrostEmbeddings]:
        return PermafrostEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"base_url": self.base_url}


@pytest.mark.anyio
@pytest.mark.usefixtures("on_real_server")
class TestRetrieverOfAServer(RetrieversIntegrationTests):
    """LangChain's own suite for retrievers, on real documents over HTTP, awaited and not."""

    base_url = ""

    @property
    def retriever_constructor(self) -> type[PermafrostRetriever]:
        return PermafrostRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"base_url": self.base_url}

    @property
    def retriever_query_example(self) -> str:
        return "paid leave"

    @pytest.fixture
    def retriever(self) -> PermafrostRetriever:
        return PermafrostRetriever(base_url=self.base_url)


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


def test_options_of_a_question_are_set_once_or_given_with_it(service: Any, client: Client) -> None:
    chat = ChatPermafrost(source=client, filter="label:policy", limit=2)
    chat.invoke("paid leave?")
    chat.bind(filter="language:de").invoke("paid leave?")
    only = [asked["only"] for asked in service.library.asked]
    assert only == [Filter.parse("label:policy"), Filter.parse("language:de")]
    retriever = PermafrostRetriever(source=client, filter="nothing:here")
    with pytest.raises(BadRequest, match="nothing"):
        retriever.invoke("paid leave?")
    assert retriever.invoke("paid leave?", filter="")


def test_what_is_not_taken_is_refused_by_name(client: Client) -> None:
    with pytest.raises(ValueError, match="client"):  # a source by another name would ask another server
        PermafrostRetriever(client=client)
    with pytest.warns(UserWarning, match="temperature: of no effect"):
        ChatPermafrost(temperature=0.5)
    for given in ({"stop": ["."]}, {"tools": []}):
        with pytest.raises(BadRequest, match=rf"does not take {next(iter(given))}; it has model, filter"):
            ChatPermafrost(source=client).invoke("paid leave?", **given)


def test_the_last_message_must_be_a_question(client: Client) -> None:
    with pytest.raises(BadRequest, match="HumanMessage"):
        ChatPermafrost(source=client).invoke([AIMessage("Hello")])


def test_what_is_awaited_is_what_is_called(service: Any, client: Client) -> None:
    async def ask() -> tuple[Any, list[Any], list[Any]]:
        async with AsyncClient(service.url) as awaited:
            chat = ChatPermafrost(source=client, async_source=awaited, model="extract")
            chunks = [chunk async for chunk in chat.astream("paid leave?")]
            found = await PermafrostRetriever(async_source=awaited, k=1).ainvoke("hotels at night")
            return await chat.ainvoke("paid leave?"), chunks, found

    whole, chunks, found = asyncio.run(ask())
    assert (
        whole.text
        == "".join(chunk.text for chunk in chunks)
        == ChatPermafrost(source=client).invoke("paid leave?").text
    )
    assert chunks[-1].response_metadata["rag"]["outcome"] == "quoted"
    assert found == PermafrostRetriever(source=client, k=1).invoke("hotels at night")


def test_without_an_awaited_source_the_called_one_serves_in_a_thread(client: Client) -> None:
    async def ask() -> Any:
        return await ChatPermafrost(source=client).ainvoke("paid leave?")

    assert "28 days" in asyncio.run(ask()).text


def test_questions_and_documents_are_embedded_on_their_own_sides(agents_url: str) -> None:
    embeddings = PermafrostEmbeddings(agents_url)
    near, far = embeddings.embed_documents(["28 days of paid leave a year", "Drill D20"])
    asked = embeddings.embed_query("How much paid leave do we have?")
    assert dot(asked, near) > dot(asked, far) + 0.2
    assert dot(near, near) == pytest.approx(1.0, abs=1e-3)


def dot(one: list[float], other: list[float]) -> float:
    return sum(left * right for left, right in zip(one, other, strict=True))
