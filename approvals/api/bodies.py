"""Request bodies: parsed strictly first, then checked against a model that documents them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    ValidationError,
    model_validator,
)

from approvals.domain.strictjson import parse
from approvals.errors import InvalidInput
from approvals.wire import read_body

if TYPE_CHECKING:
    from starlette.requests import Request

M = TypeVar("M", bound=BaseModel)


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


Text = Annotated[str, AfterValidator(_without_nul)]


class Body(BaseModel):
    """Unknown members are refused: a typing error must not be a silent default."""

    model_config = ConfigDict(extra="forbid", strict=True)


class NewCall(Body):
    """A call that a program asks about."""

    server: Annotated[Text, Field(min_length=1, max_length=200)]
    tool: Annotated[Text, Field(min_length=1, max_length=200)]
    arguments: dict[str, Any]
    definition: dict[str, Any] | None = None
    justification: Annotated[Text, Field(max_length=2000)] | None = None
    session: Annotated[Text, Field(max_length=200)] | None = None


class Approve(Body):
    """`digest` is the one shown with the approval: it says what was read."""

    digest: Annotated[str, Field(max_length=200)]
    reason: Annotated[Text, Field(max_length=1000)] | None = None


class Deny(Body):
    """A denial may go without a digest: it lets nothing through."""

    reason: Annotated[Text, Field(max_length=1000)] | None = None
    digest: Annotated[str, Field(max_length=200)] | None = None


class Because(Body):
    """Why, for everybody who looks at it later."""

    reason: Annotated[Text, Field(max_length=1000)] | None = None


class Extension(Body):
    """The new deadline, an ISO 8601 time with its zone."""

    until: Annotated[str, Field(max_length=40)]


class TakeRelease(Body):
    """`release_token` is made by the program: the same token is the same release."""

    release_token: Annotated[Text, Field(min_length=16, max_length=200, pattern=r"^[!-~]+$")]
    digest: Annotated[str, Field(max_length=200)]


class ReleaseOutcome(Body):
    """How the program's sending ended."""

    release_token: Annotated[Text, Field(min_length=16, max_length=200, pattern=r"^[!-~]+$")]
    status: Literal["succeeded", "failed", "not_sent"]
    detail: Annotated[Text, Field(max_length=1000)] | None = None


class NewFreeze(Body):
    """What to stop: a server, an agent, both, or (neither) everything."""

    server: Annotated[Text, Field(max_length=200)] | None = None
    agent: Annotated[Text, Field(max_length=200)] | None = None
    reason: Annotated[Text, Field(min_length=1, max_length=1000)]


class Again(Body):
    """Which delivery, as the list names it."""

    id: Annotated[Text, Field(max_length=500)]


class Sample(Body):
    """The channel in which a sample is posted, such as `#trading`."""

    channel: Annotated[Text, Field(min_length=2, max_length=100)]


class AcceptDefinition(Body):
    """`hash` is the one shown with the changes: it says what was read."""

    server: Annotated[Text, Field(max_length=200)]
    tool: Annotated[Text, Field(max_length=200)]
    hash: Annotated[Text, Field(max_length=100)]


class Explain(Body):
    """The approval whose call is judged again, as of now."""

    approval_id: Annotated[Text, Field(max_length=100)]


class OneDecision(Body):
    """An approval has the digest that was read; a denial may go without."""

    approval_id: Annotated[Text, Field(max_length=100)]
    decision: Literal["approve", "deny"]
    digest: Annotated[str, Field(max_length=200)] | None = None
    reason: Annotated[Text, Field(max_length=1000)] | None = None

    @model_validator(mode="after")
    def _has_digest(self) -> Self:
        if self.decision == "approve" and self.digest is None:
            raise ValueError("an approval needs the digest of what was read")
        return self


class Decisions(RootModel[Annotated[list[OneDecision], Field(min_length=1, max_length=100)]]):
    """A list of answers."""


class Nothing(Body):
    """No members."""


class VisibleTools(Body):
    """What a program that runs a server itself has listed of it: the names."""

    server: Annotated[Text, Field(min_length=1, max_length=200)]
    tools: Annotated[list[Annotated[str, Field(max_length=1000)]], Field(max_length=10_000)]


class NewKey(Body):
    """A key for one person or for one agent; `server`: for the agent that the asker wraps around a
    server of this name (`SERVER@PERSON`)."""

    person: str | None = None
    agent: str | None = None
    server: Annotated[Text, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")] | None = None
    label: Annotated[Text, Field(max_length=200)] = ""


async def read(request: Request, model: type[M]) -> M:
    """The body as `model`; an empty body is an empty object. Raises InvalidInput errors."""
    raw = await read_body(request.scope, request.receive)
    value = parse(raw) if raw else {}
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidInput(_explained(error)) from None


def _explained(error: ValidationError) -> str:
    """Places and what is wrong, never the values."""
    found = [
        f"{'.'.join(map(str, item['loc'])) or 'the body'}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    return "; ".join(found[:10]) + "."
