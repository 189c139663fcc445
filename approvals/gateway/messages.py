"""JSON-RPC messages: one request read strictly, answers written, results of refusals shaped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mcp_types import PROTOCOL_VERSION_META_KEY

from approvals.domain.call import MAX_NAME
from approvals.domain.refused import blocked
from approvals.domain.strictjson import Json, as_read, parse
from approvals.errors import ApprovalsError, InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.domain.refused import Refusal

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
HEADER_MISMATCH = -32020

MAX_JUSTIFICATION = 2000
_MEMBERS = ("jsonrpc", "id", "method", "params", "result", "error")
_PARAMS = frozenset({"name", "arguments", "_meta", "uri"})

ASKED_BACK = "An approved call is running in this session: nobody approved input to it."
NOT_ANSWERED: Json = {
    "code": INVALID_REQUEST,
    "message": "This call was approved without further input: nobody here may answer.",
}
PROGRESS = "notifications/progress"
META = "mcp-approvals/call"
JUSTIFICATION = "mcp-approvals/justification"


class BadMessage(ApprovalsError):
    """The message cannot be relayed; `number` is the JSON-RPC code that says why."""

    code = "invalid_request"

    def __init__(self, number: int, message: str, *, status: int = 400) -> None:
        self.number = number
        self.status = status
        super().__init__(message)


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One JSON-RPC message, read; `has_id` is false for a notification."""

    body: Mapping[str, Json]
    method: str | None
    id: Json
    has_id: bool
    params: Mapping[str, Json]

    def without(self, param: str) -> Message:
        """The same without one of its parameters."""
        params = {name: said for name, said in self.params.items() if name != param}
        return replace(self, body={**self.body, "params": params}, params=params)

    @property
    def rewritten(self) -> bytes:
        """The message as it is passed on: what was judged, and no byte of the client's.

        Another reader may match names without regard to case or take the last of two; it finds
        only members that were read here.
        """
        return as_read(self._known()).encode()

    def asked_as(self, id_: str) -> bytes:
        """The same under another id, which is its progress token too where it has one."""
        known = self._known()
        if "progressToken" in self.meta:
            params = known.get("params")
            assert isinstance(params, dict)  # noqa: S101 (`meta` was read from it)
            meta = params.get("_meta")
            assert isinstance(meta, dict)  # noqa: S101 (`meta` is it)
            known["params"] = {**params, "_meta": {**meta, "progressToken": id_}}
        return as_read({**known, "id": id_}).encode()

    def _known(self) -> dict[str, Json]:
        known = {name: self.body[name] for name in _MEMBERS if name in self.body}
        if JUSTIFICATION in self.meta:  # said to the people here, not to the server
            meta = {name: said for name, said in self.meta.items() if name != JUSTIFICATION}
            known["params"] = {**self.params, "_meta": meta}
        return known

    @property
    def meta(self) -> Mapping[str, Json]:
        meta = self.params.get("_meta")
        return meta if isinstance(meta, dict) else {}

    @property
    def arguments(self) -> dict[str, Json]:
        """Those of a call. Raises InvalidArguments where they are no object."""
        arguments = self.params.get("arguments", {})
        if arguments is None:
            return {}
        if not isinstance(arguments, dict):
            raise InvalidArguments("The arguments of a call are a JSON object.")
        return arguments

    @property
    def tool(self) -> str:
        """The tool that a call names. Raises BadMessage where it names none."""
        name = self.params.get("name")
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME:
            raise BadMessage(INVALID_PARAMS, "`params.name` must name a tool.", status=200)
        return name

    @property
    def justification(self) -> str | None:
        """What a call says to the people here. Raises InvalidArguments where it is too long."""
        said = self.meta.get(JUSTIFICATION)
        if not isinstance(said, str):
            return None
        if len(said) > MAX_JUSTIFICATION or "\0" in said:
            raise InvalidArguments(f"A justification has at most {MAX_JUSTIFICATION} characters.")
        return said

    @property
    def progress_token(self) -> str | int | None:
        """Under which its client wants to be told of progress, if it does."""
        token = self.meta.get("progressToken")
        return token if isinstance(token, str | int) and not isinstance(token, bool) else None

    @property
    def is_modern(self) -> bool:
        """Whether it carries its protocol version itself, as the 2026 era does."""
        return isinstance(self.meta.get(PROTOCOL_VERSION_META_KEY), str)


def read(raw: bytes) -> Message:
    """Read one message. Raises InvalidJson, or BadMessage for batches and odd shapes."""
    body = parse(raw)
    if isinstance(body, list):
        raise BadMessage(INVALID_REQUEST, "Batches are not accepted; send one message a request.")
    if not isinstance(body, dict) or body.get("jsonrpc") != "2.0":
        raise BadMessage(INVALID_REQUEST, 'The body is not a JSON-RPC 2.0 message ("jsonrpc").')
    method, params = body.get("method"), body.get("params")
    if method is not None and not isinstance(method, str):
        raise BadMessage(INVALID_REQUEST, "`method` must be a text.")
    params = {} if params is None else params
    if not isinstance(params, dict):
        raise BadMessage(INVALID_REQUEST, "`params` must be an object.")
    if method is None and ("result" in body) == ("error" in body):
        raise BadMessage(INVALID_REQUEST, "A message has a `method`, a `result` or an `error`.")
    if any(name.casefold() in _PARAMS and name not in _PARAMS for name in params):
        raise BadMessage(INVALID_REQUEST, "`params` has a name that differs only in case.")
    number = body.get("id")
    nobody_knows = number is None and "error" in body and method is None
    if (
        "id" in body
        and not nobody_knows
        and (isinstance(number, bool) or not isinstance(number, str | int))
    ):
        raise BadMessage(INVALID_REQUEST, "`id` must be a text or a whole number.")
    return Message(body=body, method=method, id=number, has_id="id" in body, params=params)


def result(message: Message, value: Json) -> bytes:
    """A response with a result."""
    return as_read({"jsonrpc": "2.0", "id": message.id, "result": value}).encode()


def error_body(id_: Json, error: Mapping[str, Json]) -> bytes:
    """A response with an error."""
    return as_read({"jsonrpc": "2.0", "id": id_, "error": dict(error)}).encode()


def error(id_: Json, number: int, text: str) -> bytes:
    """A response with an error of this code."""
    return error_body(id_, {"code": number, "message": text})


def not_offered(message: Message) -> bytes:
    """What a request gets that is no call and that the policy does not let through."""
    text = blocked(f"{message.method} is not offered through it", "(default deny)").message
    return error(message.id, INVALID_REQUEST, text)


def unknown_tool(message: Message, tool: str) -> bytes:
    """What a tool that does not exist answers, and a hidden one exactly like it."""
    return error(message.id, INVALID_PARAMS, f"Unknown tool: {tool}")


def refused(message: Message, refusal: Refusal) -> bytes:
    """The response with a refusal."""
    return result(message, refusal_result(refusal, modern=message.is_modern))


def refusal_result(refusal: Refusal, *, modern: bool) -> dict[str, Json]:
    """A refusal as a tool result that the model reads, with machine data in `_meta`."""
    data = {
        "code": str(refusal.code),
        "approval_id": refusal.approval_id,
        "rule": refusal.rule,
        "message": refusal.message,
        "retry_allowed": refusal.retry_allowed,
        "retry_after": refusal.retry_after,
        "expires_at": refusal.expires_at.isoformat() if refusal.expires_at else None,
    }
    value: dict[str, Json] = {
        "content": [{"type": "text", "text": refusal.message}],
        "isError": True,
        "_meta": {META: {key: item for key, item in data.items() if item is not None}},
    }
    if modern:
        value["resultType"] = "complete"
    return value
