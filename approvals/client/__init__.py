"""A small client of the REST API; imports nothing of the server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

import httpx2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

TIMEOUT = 70.0
VERIFY_TIMEOUT = 3600.0
"""A large audit takes minutes to verify."""


class ApiError(Exception):
    """The service said no: `code` is stable, `str()` is a sentence for people."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        self.status = status
        self.code = code
        super().__init__(detail)


class Unreachable(Exception):
    """No service answered."""


class Client:
    """One server and one key. Numbers come as text where a float would change them."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx2.Client(
            base_url=url,
            headers={"authorization": f"Bearer {key}"},
            timeout=TIMEOUT,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def approvals(self, **filters: str) -> list[dict[str, Any]]:
        """Approvals, youngest first; filters as in `GET /v1/approvals`."""
        found: list[dict[str, Any]] = self._call("GET", "/v1/approvals", query=filters)["approvals"]
        return found

    def approval(self, approval_id: str, *, wait: int = 0) -> dict[str, Any]:
        """One approval; waits up to `wait` seconds (at most 55) until it is decided."""
        return self._call("GET", f"/v1/approvals/{approval_id}", query={"wait": str(wait)})

    def card(self, approval_id: str) -> dict[str, Any]:
        """What a person sees of a call, in safe text, and what the key's owner may answer."""
        return self._call("GET", f"/v1/approvals/{approval_id}/card")

    def hints(self) -> Iterator[None]:
        """One None whenever something may have changed; ends when the service does.

        Raises Unreachable when it cannot be listened to.
        """
        try:
            with self._http.stream("GET", "/v1/events", timeout=TIMEOUT) as response:
                if not response.is_success:
                    response.read()
                    raise error_of(response)
                for line in response.iter_lines():
                    if line.startswith("event:"):
                        yield None
        except httpx2.HTTPError as error:
            raise Unreachable(f"No approvals service answers at {self.url}.") from error

    def sign_in_link(self) -> dict[str, Any]:
        """A link with which the key's owner signs in once."""
        return self._call("POST", "/v1/sign-in-links", body={})

    def approve(self, approval_id: str, digest: str, reason: str | None = None) -> dict[str, Any]:
        """Approve exactly what `digest` names."""
        body = {"digest": digest, "reason": reason}
        return self._call("POST", f"/v1/approvals/{approval_id}/approve", body=body)

    def deny(self, approval_id: str, reason: str | None = None) -> dict[str, Any]:
        """Deny."""
        return self._call("POST", f"/v1/approvals/{approval_id}/deny", body={"reason": reason})

    def cancel(self, approval_id: str) -> dict[str, Any]:
        """Withdraw a call that was not sent yet."""
        return self._call("POST", f"/v1/approvals/{approval_id}/cancel", body={})

    def explain(self, approval_id: str) -> dict[str, Any]:
        """How the call of an approval would be judged now."""
        return self._call("POST", "/v1/policies/explain", body={"approval_id": approval_id})

    def freeze(
        self, *, server: str | None = None, agent: str | None = None, reason: str
    ) -> dict[str, Any]:
        """Stop new calls and releases; the answer lists what is being sent."""
        body = {"server": server, "agent": agent, "reason": reason}
        return self._call("POST", "/v1/freezes", body=body)

    def freezes(self) -> list[dict[str, Any]]:
        """The freezes in force."""
        found: list[dict[str, Any]] = self._call("GET", "/v1/freezes")["freezes"]
        return found

    def thaw(self, freeze_id: str) -> None:
        """End a freeze."""
        self._call("DELETE", f"/v1/freezes/{freeze_id}")

    def definitions(self) -> list[dict[str, Any]]:
        """The tools whose definition is not the accepted one, and what differs."""
        found: list[dict[str, Any]] = self._call("GET", "/v1/definitions")["definitions"]
        return found

    def accept_definition(self, server: str, tool: str, hash_: str) -> None:
        """Let calls go on with the definition of this hash."""
        body = {"server": server, "tool": tool, "hash": hash_}
        self._call("POST", "/v1/definitions/accept", body=body)

    def slack_test(self, channel: str) -> None:
        """Post a sample with a button in this channel of Slack."""
        self._call("POST", "/v1/slack/test", body={"channel": channel})

    def verify_audit(self) -> dict[str, Any]:
        """Whether the whole audit is what was written."""
        return self._call("GET", "/v1/audit/verify", timeout=VERIFY_TIMEOUT)

    def export_audit(
        self, *, since: str | None = None, until: str | None = None
    ) -> Iterator[bytes]:
        """Every event of a time, one JSON object a line, in parts as they come."""
        query = {name: at for name, at in (("from", since), ("to", until)) if at is not None}
        try:
            with self._http.stream("GET", "/v1/audit/export", params=query) as response:
                if not response.is_success:
                    response.read()
                    raise error_of(response)
                yield from response.iter_bytes()
        except httpx2.HTTPError as error:
            raise Unreachable(f"The export from {self.url} broke off.") from error

    def create_key(
        self, *, person: str | None = None, agent: str | None = None, label: str = ""
    ) -> dict[str, Any]:
        """Make a key; it is in the answer, once."""
        body = {"person": person, "agent": agent, "label": label}
        return self._call("POST", "/v1/keys", body=body)

    def keys(self) -> list[dict[str, Any]]:
        """Keys, without the keys themselves."""
        found: list[dict[str, Any]] = self._call("GET", "/v1/keys")["keys"]
        return found

    def revoke_key(self, key_id: str) -> None:
        """End a key."""
        self._call("DELETE", f"/v1/keys/{key_id}")

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        timeout: float = TIMEOUT,
    ) -> dict[str, Any]:
        try:
            response = self._http.request(
                method, path, params=dict(query or {}), json=body, timeout=timeout
            )
        except httpx2.HTTPError as error:
            raise Unreachable(f"No approvals service answers at {self.url}.") from error
        if response.is_success:
            return _read(response)
        raise error_of(response)


def error_of(response: httpx2.Response) -> ApiError:
    """The error that an answer says."""
    found = _read(response)
    return ApiError(
        response.status_code,
        str(found.get("code", "error")),
        str(found.get("detail", f"The service answered {response.status_code}.")),
    )


def _read(response: httpx2.Response) -> dict[str, Any]:
    if not response.content:
        return {}
    try:
        found = json.loads(response.content, parse_float=Exact)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class Exact(str):
    """A number with fraction or exponent, as the digits it was written with."""

    __slots__ = ()


def exact_json(value: object) -> str:
    """A value that this client gave, as JSON with the numbers as they came."""
    if isinstance(value, Exact):
        return str(value)
    if isinstance(value, dict):
        members = (f"{json.dumps(name)}: {exact_json(item)}" for name, item in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(exact_json(item) for item in value) + "]"
    return json.dumps(value)
