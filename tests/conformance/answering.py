"""Tools that answer on their own: content of each kind, progress, log lines, changes of lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    PromptsListChanged,
    ToolsListChanged,
)

from tests.conformance.content import audio, image, resource, result, said, text
from tests.conformance.entry import Answer, Context, Entry, Run, argument, entry, require

if TYPE_CHECKING:
    from mcp_types import CallToolRequestParams, ContentBlock

PAUSE = 0.05
LINES = ("Tool execution started", "Tool processing data", "Tool execution completed")

BUS = InMemorySubscriptionBus()
SHOWN: set[str] = set()
"""The names that a trigger has put on a list and not taken off since."""

EXTRA_TOOL = "test_extra_tool"
EXTRA_PROMPT = "test_extra_prompt"

JSON_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
HEADER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    "required": ["region"],
}


def always(*content: ContentBlock, is_error: bool = False) -> Run:
    """The function of a tool with one answer."""

    async def run(context: Context, params: CallToolRequestParams) -> Answer:
        return result(*content, is_error=is_error)

    return run


async def progress(context: Context, params: CallToolRequestParams) -> Answer:
    for done in (0, 50, 100):
        await context.session.report_progress(done, 100)
        await anyio.sleep(PAUSE)
    return said("Progress was reported three times.")


async def log(context: Context, params: CallToolRequestParams) -> Answer:
    for line in LINES:
        await context.session.send_log_message("info", line, related_request_id=context.request_id)
        await anyio.sleep(PAUSE)
    return said("Three lines were logged.")


async def reconnect(context: Context, params: CallToolRequestParams) -> Answer:
    """End the stream of the call; the client has to resume it for the answer."""
    if context.close_sse_stream is not None:
        await context.close_sse_stream()
        await anyio.sleep(2 * PAUSE)
    return said("The stream was closed before this answer.")


async def need_sampling(context: Context, params: CallToolRequestParams) -> Answer:
    require(context, "sampling")
    return said("The client has declared sampling.")


async def change_tools(context: Context, params: CallToolRequestParams) -> Answer:
    SHOWN.symmetric_difference_update({EXTRA_TOOL})
    await BUS.publish(ToolsListChanged())
    return said("The list of tools has changed.")


async def change_prompts(context: Context, params: CallToolRequestParams) -> Answer:
    SHOWN.symmetric_difference_update({EXTRA_PROMPT})
    await BUS.publish(PromptsListChanged())
    return said("The list of prompts has changed.")


async def echo_region(context: Context, params: CallToolRequestParams) -> Answer:
    return said(f"Region: {argument(params, 'region')}")


SIMPLE = text("This is a simple text response for testing.")
FAILURE = text("This tool intentionally returns an error for testing")
EMBEDDED = resource("test://embedded-resource", "This is an embedded resource content.")
MIXED = (
    text("Multiple content types test:"),
    image(),
    resource("test://mixed-content-resource", '{"test":"data","value":123}', "application/json"),
)

TOOLS: tuple[Entry, ...] = (
    entry("test_simple_text", "Answers with a text", always(SIMPLE)),
    entry("test_image_content", "Answers with an image", always(image())),
    entry("test_audio_content", "Answers with a sound", always(audio())),
    entry("test_embedded_resource", "Answers with a resource", always(EMBEDDED)),
    entry("test_multiple_content_types", "Answers with three kinds", always(*MIXED)),
    entry("test_error_handling", "Answers with an error", always(FAILURE, is_error=True)),
    entry("test_tool_with_logging", "Logs three lines", log),
    entry("test_logging_tool", "Logs three lines to who asked for them", log),
    entry("test_tool_with_progress", "Reports progress three times", progress),
    entry("test_reconnection", "Closes its stream before it answers", reconnect),
    entry("test_missing_capability", "Needs a client with sampling", need_sampling),
    entry("test_trigger_tool_change", "Changes the list of tools", change_tools),
    entry("test_trigger_prompt_change", "Changes the list of prompts", change_prompts),
    entry("test_param_header", "Has an argument in a header", echo_region, HEADER_SCHEMA),
    entry(
        "json_schema_2020_12_tool",
        "Has a schema of JSON Schema 2020-12",
        always(text("The arguments were taken.")),
        JSON_SCHEMA,
    ),
)
EXTRA = entry(EXTRA_TOOL, "Comes and goes", always(text("The tool is on the list.")))
