"""The prompts and the resources of the fixture."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from mcp import MCPError
from mcp_types import (
    INVALID_PARAMS,
    BlobResourceContents,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    ContentBlock,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    SubscribeRequestParams,
    TextResourceContents,
    UnsubscribeRequestParams,
)

from tests.conformance.answering import EXTRA_PROMPT, SHOWN
from tests.conformance.asking import ask_for_prompt
from tests.conformance.content import PNG, image, resource, text

if TYPE_CHECKING:
    from tests.conformance.entry import Context

TEMPLATE = re.compile(r"test://template/([^/]+)/data")
COMPLETIONS = ("test", "testing", "value")


def prompt(name: str, description: str, *arguments: str) -> Prompt:
    """A prompt; its arguments are required."""
    required = [
        PromptArgument(name=argument, description=f"Argument {argument}", required=True)
        for argument in arguments
    ]
    return Prompt(name=name, description=description, arguments=required)


PROMPTS = (
    prompt("test_simple_prompt", "One message"),
    prompt("test_prompt_with_arguments", "A message with arguments", "arg1", "arg2"),
    prompt("test_prompt_with_embedded_resource", "A message with a resource", "resourceUri"),
    prompt("test_prompt_with_image", "A message with an image"),
    prompt("test_input_required_result_prompt", "A message for which the user is asked"),
)
EXTRA = prompt(EXTRA_PROMPT, "Comes and goes")

RESOURCES = {
    "test://static-text": "This is the content of the static text resource.",
    "test://watched-resource": "This is the content of the resource that is watched.",
    "test://static-binary": None,
}


async def list_prompts(
    context: Context, params: PaginatedRequestParams | None
) -> ListPromptsResult:
    extra = [EXTRA] if EXTRA_PROMPT in SHOWN else []
    return ListPromptsResult(prompts=[*PROMPTS, *extra])


def messages(*content: ContentBlock) -> GetPromptResult:
    return GetPromptResult(
        messages=[PromptMessage(role="user", content=block) for block in content]
    )


async def get_prompt(
    context: Context, params: GetPromptRequestParams
) -> GetPromptResult | InputRequiredResult:
    given = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            return messages(text("This is a simple prompt for testing."))
        case "test_prompt_with_arguments":
            first, second = given.get("arg1", ""), given.get("arg2", "")
            return messages(text(f"Prompt with arguments: arg1='{first}', arg2='{second}'"))
        case "test_prompt_with_embedded_resource":
            uri = given.get("resourceUri", "")
            embedded = resource(uri, "Embedded resource content for testing.")
            return messages(embedded, text("Please process the embedded resource above."))
        case "test_prompt_with_image":
            return messages(image(), text("Please analyze the image above."))
        case "test_input_required_result_prompt":
            return await ask_for_prompt(context, params)
        case name if name in SHOWN:
            return messages(text("The prompt is on the list."))
    raise MCPError(INVALID_PARAMS, f"There is no prompt {params.name}")


async def complete(context: Context, params: CompleteRequestParams) -> CompleteResult:
    begun = params.argument.value
    values = [value for value in COMPLETIONS if value.startswith(begun)]
    return CompleteResult(completion=Completion(values=values, total=len(values), has_more=False))


async def list_resources(
    context: Context, params: PaginatedRequestParams | None
) -> ListResourcesResult:
    resources = [
        Resource(
            uri=uri,
            name=uri.removeprefix("test://"),
            description=f"The resource {uri}",
            mime_type="image/png" if words is None else "text/plain",
        )
        for uri, words in RESOURCES.items()
    ]
    return ListResourcesResult(resources=resources)


async def list_templates(
    context: Context, params: PaginatedRequestParams | None
) -> ListResourceTemplatesResult:
    template = ResourceTemplate(
        uri_template="test://template/{id}/data",
        name="template",
        description="Data of an id",
        mime_type="application/json",
    )
    return ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(context: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
    uri = str(params.uri)
    return ReadResourceResult(contents=[contents(uri)])


def contents(uri: str) -> TextResourceContents | BlobResourceContents:
    if templated := TEMPLATE.fullmatch(uri):
        data = {
            "id": templated[1],
            "templateTest": True,
            "data": f"Data for ID: {templated[1]}",
        }
        return TextResourceContents(uri=uri, mime_type="application/json", text=json.dumps(data))
    if uri not in RESOURCES:
        raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})
    words = RESOURCES[uri]
    if words is None:
        return BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
    return TextResourceContents(uri=uri, mime_type="text/plain", text=words)


async def subscribe(context: Context, params: SubscribeRequestParams) -> EmptyResult:
    """Take the subscription: no resource of this fixture changes."""
    return EmptyResult()


async def unsubscribe(context: Context, params: UnsubscribeRequestParams) -> EmptyResult:
    return EmptyResult()
