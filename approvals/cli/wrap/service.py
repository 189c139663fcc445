"""The running service, asked over REST with the key of the agent `SERVER@PERSON`."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.cli.connection import NoKey, found
from approvals.client.asynchronous import ApiError, AsyncClient, Unreachable
from approvals.domain.strictjson import Json, as_read, canonical, parse
from approvals.errors import InvalidJson

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

NOT_RUNNING = "approvals is not running. Start it with: approvals serve"
UNAUTHENTICATED = 401
SERVER_ERROR = 500
AGENT_KEY = "agt_"
Answer = dict[str, Json]


class Refused(Exception):
    """The service cannot be asked, or says no; `str()` is a sentence for the agent. `may_pass`:
    asked again it may answer."""

    def __init__(self, sentence: str, code: str = "", *, may_pass: bool = False) -> None:
        self.code = code
        self.may_pass = may_pass
        super().__init__(sentence)


class NotRunning(Refused):
    """No service answers."""

    def __init__(self) -> None:
        super().__init__(NOT_RUNNING, may_pass=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What the agent may see."""

    tools: Collection[str]
    other_methods: bool


class Service:
    """Finds the service when it is needed, so that it may be started after its clients."""

    def __init__(self, server: str, *, url: str | None, key: str | None) -> None:
        self.server = server
        self._url, self._key = url, key
        self._agent: AsyncClient | None = None
        self._person: tuple[AsyncClient, str] | None = None
        self._finding = asyncio.Lock()
        self._session = f"wrap-{secrets.token_hex(8)}"

    async def seen(self, tools: Sequence[str]) -> Seen:
        """Which of these tools the agent may see. Raises Refused."""
        body: dict[str, Json] = {"server": self.server, "tools": list(tools)}
        answer = await self._ask("POST", "/v1/tools", body)
        names = answer.get("tools")
        return Seen(
            tools=frozenset(n for n in names if isinstance(n, str))
            if isinstance(names, list)
            else frozenset(),
            other_methods=answer.get("other_methods") is True,
        )

    async def arrive(
        self,
        tool: str,
        arguments: Mapping[str, Json],
        *,
        definition: Mapping[str, Json],
        justification: str | None,
    ) -> Answer:
        """What becomes of a call: `verdict`, with `approval` or `refusal`. Raises Refused."""
        body: dict[str, Json] = {
            "server": self.server,
            "tool": tool,
            "arguments": dict(arguments),
            "definition": dict(definition),
            "session": self._session,
        }
        if justification is not None:
            body["justification"] = justification
        return await self._ask("POST", "/v1/approvals", body)

    async def approval(self, id_: str, *, wait: int) -> Answer:
        """The approval once it is decided, or as it is after so many seconds. Raises Refused."""
        return await self._ask("GET", f"/v1/approvals/{id_}", query={"wait": str(wait)})

    async def release(self, id_: str, *, digest: str, token: str) -> str:
        """Take the one release; the canonical arguments to send. Raises Refused."""
        body = {"release_token": token, "digest": digest}
        answer = await self._ask("POST", f"/v1/approvals/{id_}/release", body)
        return canonical(answer.get("arguments"))

    async def report(self, id_: str, *, token: str, status: str, detail: str | None) -> None:
        """How the sending ended. Raises Refused."""
        body = {"release_token": token, "status": status, "detail": detail}
        await self._ask("POST", f"/v1/approvals/{id_}/release/outcome", body)

    async def refusal(self, id_: str) -> Answer:
        """What the agent is told while there is no result. Raises Refused."""
        return await self._ask("GET", f"/v1/approvals/{id_}/refusal")

    async def cancel(self, id_: str) -> None:
        """Withdraw a call that was not sent. Raises Refused."""
        await self._ask("POST", f"/v1/approvals/{id_}/cancel", {})

    async def close(self) -> None:
        """Give the key back."""
        if self._person is not None:
            person, key_id = self._person
            with suppress(ApiError, Unreachable, TimeoutError):
                async with asyncio.timeout(2):
                    await person.call("DELETE", f"/v1/keys/{key_id}")
            await person.close()
        if self._agent is not None:
            await self._agent.close()

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Json] | None = None,
        *,
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        raw = None if body is None else as_read(dict(body)).encode()
        try:
            agent = await self._known()
            try:
                return _object(await agent.call(method, path, body=raw, query=query))
            except ApiError as error:
                if error.status != UNAUTHENTICATED or self._person is None:
                    raise
            await self._forget()  # the service has another database, or the key was revoked
            agent = await self._known()
            return _object(await agent.call(method, path, body=raw, query=query))
        except NoKey as error:
            raise Refused(str(error)) from error
        except Unreachable as error:
            raise NotRunning from error
        except ApiError as error:
            may_pass = error.status >= SERVER_ERROR
            raise Refused(str(error), error.code, may_pass=may_pass) from error

    async def _known(self) -> AsyncClient:
        async with self._finding:
            if self._agent is None:
                url, key = found(self._url, self._key)
                if not key.startswith(AGENT_KEY):
                    key = await self._key_of_agent(AsyncClient(url, key))
                self._agent = AsyncClient(url, key)
            return self._agent

    async def _key_of_agent(self, person: AsyncClient) -> str:
        """A key for the agent that this person wraps around the server, until `close`."""
        try:
            body = canonical({"server": self.server, "label": "approvals wrap"}).encode()
            made = _object(await person.call("POST", "/v1/keys", body=body))
        except BaseException:
            await person.close()
            raise
        self._person = person, str(made.get("id"))
        return str(made.get("key"))

    async def _forget(self) -> None:
        async with self._finding:
            if self._agent is not None:
                await self._agent.close()
            if self._person is not None:
                await self._person[0].close()
            self._agent = self._person = None


def _object(raw: bytes) -> Answer:
    try:
        read = parse(raw) if raw else {}
    except InvalidJson:
        read = None
    if not isinstance(read, dict):
        raise Unreachable("What answers is no approvals service.")
    return read
