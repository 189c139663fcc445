"""Tools that send a request to the client while their call is open, as through 2025-11-25."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mcp_types import SamplingMessage, TextContent

from tests.conformance.content import said
from tests.conformance.entry import Answer, Context, Entry, argument, entry, require, strings

if TYPE_CHECKING:
    from mcp_types import CallToolRequestParams, ElicitResult

USER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    },
    "required": ["username", "email"],
}
DEFAULTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {
            "type": "string",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": {"type": "boolean", "default": True},
    },
    "required": [],
}
OPTIONS = ["option1", "option2", "option3"]


def titled(*titles: str) -> list[dict[str, str]]:
    """Values `value1`, `value2`, … that are shown with these titles."""
    return [{"const": f"value{n}", "title": title} for n, title in enumerate(titles, 1)]


CHOICES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": OPTIONS},
        "titledSingle": {
            "type": "string",
            "oneOf": titled("First Option", "Second Option", "Third Option"),
        },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": OPTIONS}},
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": titled("First Choice", "Second Choice", "Third Choice")},
        },
    },
    "required": [],
}


async def sample(context: Context, params: CallToolRequestParams) -> Answer:
    require(context, "sampling")
    prompt = TextContent(text=argument(params, "prompt"))
    reply = await context.session.create_message(
        [SamplingMessage(role="user", content=prompt)],
        max_tokens=100,
        related_request_id=context.request_id,
    )
    words = reply.content.text if isinstance(reply.content, TextContent) else reply.content.type
    return said(f"LLM response: {words}")


async def elicited(context: Context, message: str, schema: dict[str, Any]) -> ElicitResult:
    require(context, "elicitation")
    return await context.session.elicit_form(message, schema, related_request_id=context.request_id)


async def elicit(context: Context, params: CallToolRequestParams) -> Answer:
    reply = await elicited(context, argument(params, "message"), USER)
    return said(f"User response: action={reply.action}, content={json.dumps(reply.content)}")


async def elicit_defaults(context: Context, params: CallToolRequestParams) -> Answer:
    return completed(await elicited(context, "Please check your details", DEFAULTS))


async def elicit_choices(context: Context, params: CallToolRequestParams) -> Answer:
    return completed(await elicited(context, "Please choose", CHOICES))


def completed(reply: ElicitResult) -> Answer:
    content = json.dumps(reply.content)
    return said(f"Elicitation completed: action={reply.action}, content={content}")


TOOLS: tuple[Entry, ...] = (
    entry("test_sampling", "Asks the client's model", sample, strings("prompt")),
    entry("test_elicitation", "Asks the user", elicit, strings("message")),
    entry("test_elicitation_sep1034_defaults", "Asks with defaults", elicit_defaults),
    entry("test_elicitation_sep1330_enums", "Asks with choices", elicit_choices),
)
