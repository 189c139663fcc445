"""Tools and a prompt that answer with what they need to know, as from 2026-07-28.

The client calls again with the replies. A state that goes to the client and back is sealed and
checked by `RequestStateBoundary`, which `server.py` installs: here it is a plain text.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from mcp_types import (
    CallToolRequestParams,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequest,
    InputRequiredResult,
    InputResponse,
    ListRootsRequest,
    ListRootsResult,
    PromptMessage,
    SamplingMessage,
)

from tests.conformance.content import said, text
from tests.conformance.entry import Answer, Context, Entry, entry, require

CAPABILITIES = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
Reply = TypeVar("Reply", bound=InputResponse)


def form(message: str, field: str, kind: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sampling(prompt: str, max_tokens: int) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=text(prompt))
    params = CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    return CreateMessageRequest(params=params)


NAME = form("What is your name?", "name")
CONFIRM = form("Please confirm", "ok", "boolean")
STEP_1 = form("Step 1: What is your name?", "name")
STEP_2 = form("Step 2: What is your favorite color?", "color")
CONTEXT = form("What context should the prompt use?", "context")


def ask(
    context: Context, requests: dict[str, InputRequest], state: str | None = None
) -> InputRequiredResult:
    require(context, *(CAPABILITIES[request.method] for request in requests.values()))
    return InputRequiredResult(input_requests=requests, request_state=state)


def reply(
    params: CallToolRequestParams | GetPromptRequestParams, key: str, kind: type[Reply]
) -> Reply | None:
    """What the client replied under a key, if it is a reply of this kind."""
    found = (params.input_responses or {}).get(key)
    return found if isinstance(found, kind) else None


def field(answer: ElicitResult, name: str) -> Any:
    return (answer.content or {}).get(name, answer.action)


async def ask_name(context: Context, params: CallToolRequestParams) -> Answer:
    name = reply(params, "user_name", ElicitResult)
    if name is None:
        return ask(context, {"user_name": NAME})
    return said(f"Hello, {field(name, 'name')}!")


async def ask_model(context: Context, params: CallToolRequestParams) -> Answer:
    capital = reply(params, "capital_question", CreateMessageResult)
    if capital is None:
        return ask(context, {"capital_question": sampling("What is the capital of France?", 100)})
    return said(capital.model_dump_json(by_alias=True, exclude_none=True))


async def ask_roots(context: Context, params: CallToolRequestParams) -> Answer:
    roots = reply(params, "client_roots", ListRootsResult)
    if roots is None:
        return ask(context, {"client_roots": ListRootsRequest()})
    return said(f"Roots: {', '.join(str(root.uri) for root in roots.roots)}")


async def ask_with_state(context: Context, params: CallToolRequestParams) -> Answer:
    confirmed = reply(params, "confirm", ElicitResult)
    if confirmed is None or params.request_state != "confirming":
        return ask(context, {"confirm": CONFIRM}, "confirming")
    return said(f"state-ok, confirmed: {field(confirmed, 'ok')}")


async def ask_three(context: Context, params: CallToolRequestParams) -> Answer:
    name = reply(params, "user_name", ElicitResult)
    greeting = reply(params, "greeting", CreateMessageResult)
    roots = reply(params, "client_roots", ListRootsResult)
    if name is None or greeting is None or roots is None or params.request_state != "asked":
        requests: dict[str, InputRequest] = {
            "user_name": NAME,
            "greeting": sampling("Generate a greeting", 50),
            "client_roots": ListRootsRequest(),
        }
        return ask(context, requests, "asked")
    return said(f"{field(name, 'name')} has {len(roots.roots)} roots and was greeted.")


async def ask_twice(context: Context, params: CallToolRequestParams) -> Answer:
    state = json.loads(params.request_state or "{}")
    if "name" not in state:
        name = reply(params, "step1", ElicitResult)
        if name is None or state.get("step") != 1:
            return ask(context, {"step1": STEP_1}, json.dumps({"step": 1}))
        state = {"step": 2, "name": field(name, "name")}
        return ask(context, {"step2": STEP_2}, json.dumps(state))
    color = reply(params, "step2", ElicitResult)
    if color is None:
        return ask(context, {"step2": STEP_2}, params.request_state)
    return said(f"{state['name']} likes {field(color, 'color')}.")


async def ask_what_is_declared(context: Context, params: CallToolRequestParams) -> Answer:
    if params.input_responses:
        return said(f"Replies: {', '.join(sorted(params.input_responses))}")
    every: dict[str, InputRequest] = {
        "user_name": NAME,
        "greeting": sampling("Generate a greeting", 50),
        "client_roots": ListRootsRequest(),
    }
    declared = context.session.client_capabilities
    asked = {
        key: request
        for key, request in every.items()
        if getattr(declared, CAPABILITIES[request.method], None) is not None
    }
    return ask(context, asked or {"user_name": NAME})


async def ask_on_a_stream(context: Context, params: CallToolRequestParams) -> Answer:
    confirmed = reply(params, "confirm", ElicitResult)
    await context.session.report_progress(0 if confirmed is None else 1, 1)
    if confirmed is None:
        return ask(context, {"confirm": CONFIRM})
    return said(f"Confirmed: {field(confirmed, 'ok')}")


async def ask_for_prompt(
    context: Context, params: GetPromptRequestParams
) -> GetPromptResult | InputRequiredResult:
    answer = reply(params, "user_context", ElicitResult)
    if answer is None:
        return ask(context, {"user_context": CONTEXT})
    words = text(f"The context is: {field(answer, 'context')}")
    return GetPromptResult(messages=[PromptMessage(role="user", content=words)])


def asking(name: str) -> str:
    return f"test_input_required_result_{name}"


TOOLS: tuple[Entry, ...] = (
    entry(asking("elicitation"), "Asks for a name", ask_name),
    entry(asking("sampling"), "Asks the client's model", ask_model),
    entry(asking("list_roots"), "Asks for the client's roots", ask_roots),
    entry(asking("request_state"), "Asks and sends a state", ask_with_state),
    entry(asking("tampered_state"), "Refuses a state that it did not send", ask_with_state),
    entry(asking("multiple_inputs"), "Asks three things at once", ask_three),
    entry(asking("multi_round"), "Asks one thing after the other", ask_twice),
    entry(asking("capabilities"), "Asks what the client has declared", ask_what_is_declared),
    entry("test_streaming_elicitation", "Asks on a stream", ask_on_a_stream),
)
