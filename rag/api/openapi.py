"""The OpenAPI document: what FastAPI derives, with our errors, our key and examples in it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from rag.api.gate import OPEN
from rag.wire import ErrorReply

ERRORS = {
    "400": "the request cannot be served as it is; the message names the field",
    "401": "the key is missing or wrong",
    "402": "a budget or a cap on cost does not allow it",
    "403": "the caller may not do this, or not from there",
    "404": "there is no such thing for this caller",
    "409": "it collides with another request",
    "413": "the body is larger than the limit",
    "422": "a document cannot be read, or shown as asked",
    "429": "too much at once; Retry-After says when to try again",
    "5XX": "it failed here; the message says what to do",
}
EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
}
STREAMED = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
QUESTION = {
    "model": "auto",
    "messages": [{"role": "user", "content": "How many days of paid leave do I have?"}],
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "a question": QUESTION,
        "streamed, in one collection": {**QUESTION, "model": "handbook:small", "stream": True},
        "as JSON": {
            **QUESTION,
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "leave",
                    "schema": {"type": "object", "properties": {"days": {"type": "integer"}}},
                },
            },
        },
    },
    "/v1/completions": {"a question": {"model": "auto", "prompt": "How long is the notice period?"}},
    "/v1/responses": {"a question": {"model": "auto", "input": "How long is the notice period?"}},
    "/v1/embeddings": {"two texts": {"input": ["notice period", "paid leave"]}},
    "/v1/search": {"in policies only": {"query": "notice period", "filter": "label:policy", "limit": 5}},
}


def describe(app: FastAPI) -> None:
    """Make `/openapi.json` tell all that the server does."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = described(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def described(app: FastAPI) -> dict[str, Any]:
    """The document, made once all routes are there."""
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    parts = document.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    schemas["ErrorReply"] = ErrorReply.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= schemas["ErrorReply"].pop("$defs", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for schema in schemas.values():
        for name, told in schema.get("properties", {}).items():
            if told.pop("nullable", False):
                schema["properties"][name] = {"anyOf": [told, {"type": "null"}]}
    for path, verbs in document["paths"].items():
        for operation in verbs.values():
            replies = operation["responses"]
            # Not FastAPI's own: what does not fit a body is a 400 in OpenAI's shape.
            replies.pop("422", None)
            for status, meaning in ERRORS.items():
                reply = {"$ref": "#/components/schemas/ErrorReply"}
                content = {"application/json": {"schema": reply}}
                replies.setdefault(status, {"description": meaning, "content": content})
            if path in STREAMED:
                replies["200"]["content"]["text/event-stream"] = {"schema": EVENT}
            if path not in OPEN:
                operation["security"] = [{"key": []}]
            told = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if told is not None and path in EXAMPLES:
                told["examples"] = {name: {"value": value} for name, value in EXAMPLES[path].items()}
    return document
