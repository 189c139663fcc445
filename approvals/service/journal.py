"""What becomes of calls that are not parked: written down before it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.domain.chain import Fact
from approvals.errors import Overloaded
from approvals.ports import Applied, Record
from approvals.service.waiting import MAX_RESULT_WAIT

if TYPE_CHECKING:
    from approvals.domain.call import Call
    from approvals.domain.limits import Charge
    from approvals.domain.policy.model import Verdict
    from approvals.domain.strictjson import Json
    from approvals.ports import Answer, Clock, Ids, Store
    from approvals.service.keyring import Keyring


class Journal:
    """Appends to the stream of this process."""

    def __init__(
        self, *, store: Store, keyring: Keyring, clock: Clock, ids: Ids, stream: str
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._ids = ids
        self._stream = stream

    async def judged(
        self,
        kind: str,
        call: Call,
        verdict: Verdict,
        *,
        reserves: tuple[Charge, ...] = (),
        guarded: bool = False,
    ) -> tuple[Answer, str]:
        """Record a verdict on a call; the store's answer, and the id of the event.

        `guarded`: nothing is written while a freeze covers the call.
        """
        detail: dict[str, Json] = {
            "arguments": self._keyring.hash("arguments", call.arguments),
            "policy": verdict.policy_hash,
            "rule": verdict.rule,
            "server": call.server,
            "tool": call.tool,
        }
        if verdict.doubts:
            detail["doubts"] = list(verdict.doubts)
        record = Record(
            stream=self._stream,
            fact=self.fact(kind, f"agent:{call.agent}", detail),
            reserves=reserves,
            runs=(call.server, call.agent) if guarded else None,
        )
        return await self._store.apply(record, within=MAX_RESULT_WAIT), record.op_id

    async def unknown_tool(self, agent: str, server: str, tool: str) -> None:
        """Record a call of a tool that does not exist for this agent, hidden or not."""
        await self.note("call_unknown_tool", f"agent:{agent}", {"server": server, "tool": tool})

    async def note(self, kind: str, actor: str, detail: dict[str, Json]) -> None:
        """Record something that changes no approval. Raises Overloaded where it is not recorded."""
        record = Record(stream=self._stream, fact=self.fact(kind, actor, detail))
        if not isinstance(await self._store.apply(record, within=MAX_RESULT_WAIT), Applied):
            raise Overloaded("It could not be recorded, so it was not done. Try again.")

    def fact(self, kind: str, actor: str, detail: dict[str, Json]) -> Fact:
        """A fact of now, with a new id."""
        return Fact(
            id=self._ids.event(), type=kind, actor=actor, at=self._clock.now(), detail=detail
        )

    @property
    def stream(self) -> str:
        return self._stream
