"""What is said with one server process on behalf of many clients, each answer to its own client.

All clients share the process's ids, so each request goes out under an id that nobody can guess and
comes back under the client's own; the rest of a line is passed on as it came, byte for byte.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from approvals.domain.strictjson import Json, as_read, canonical
from approvals.gateway import messages
from approvals.gateway.answering import pass_answer
from approvals.gateway.messages import BadMessage
from approvals.gateway.stdio.inbox import Asked, Inbox, Waiting, Who
from approvals.gateway.stdio.lines import exactly, read, renamed, subscription_of
from approvals.gateway.stdio.process import Ended

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.gateway.messages import Message
    from approvals.gateway.own import OwnRequest
    from approvals.gateway.stdio.process import Process
    from approvals.ports import Give

logger = logging.getLogger(__name__)

GIVEN_UP = timedelta(minutes=10)
"""How long a server may still be at a request that nobody waits for; told of a cancel, many never
answer."""
MAX_SUBSCRIBED = 100
MAX_URI = 2000
MAX_QUESTIONS = 100
MAX_REPLIES = 100
SILENT = 3
"""Requests in a row that were not answered in time, and nothing was heard meanwhile: it hangs."""
NOT_YOURS = "The gateway cannot tell whose this is, or nobody there may answer it."


@dataclass(frozen=True, slots=True, eq=False)
class _Own:
    """A request of the gateway's own on its way, and who is told what is said meanwhile."""

    answer: asyncio.Future[bytes]
    waiting: Waiting | None

    @property
    def may_be_asked(self) -> bool:
        return self.waiting is not None and self.waiting.give is not None


@dataclass(frozen=True, slots=True)
class _Question:
    """What the server asks, under its own `id`; `give` commits an answer during `own`."""

    id: Json
    who: Who
    give: Give | None
    own: _Own | None


class Conversation:
    """One process and everybody who talks with it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: Process | None = None
        self._asked: dict[str, Asked] = {}
        self._own: dict[str, _Own] = {}
        self._listening: dict[Who, Inbox] = {}
        self._subscribed: defaultdict[str, set[Who]] = defaultdict(set)
        self._questions: dict[str, _Question] = {}
        self._given_up: dict[str, float] = {}
        self._replies: set[asyncio.Future[None]] = set()
        self._banners = 0
        self._unanswered = 0
        self.greeted = False

    def begin(self, process: Process) -> None:
        """From now on it is this process that is talked with."""
        self._process = process
        process.ended.add_done_callback(lambda _: self._over())

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer of it."""
        return bool(self._asked or self._own)

    @property
    def ended(self) -> bool:
        """It cannot be talked with any more, or answers nothing."""
        return self._process is None or self._process.is_gone or self._unanswered >= SILENT

    def not_in_time(self) -> None:
        """A request was not answered in its time."""
        self._unanswered += 1

    async def own(self, request: OwnRequest, waiting: Waiting | None = None) -> bytes:
        """The line that answers a request of the gateway's own; `waiting` is told what the server
        says meanwhile. Raises Ended when nothing was written, ConnectionError when the process
        ended before it answered."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        own = self._own[request.id] = _Own(answer, waiting)
        try:
            await self._write(request.body)
            return await answer
        finally:
            self._own.pop(request.id, None)
            self._questions = {id_: q for id_, q in self._questions.items() if q.own is not own}
            self._give_up(request.id, answered=answer.done() and not answer.cancelled())

    async def ask(self, message: Message, who: Who) -> Asked:
        """Pass a client's request on; what comes of it is in the inbox. Raises Ended."""
        token = message.meta.get("progressToken")
        asked = Asked(
            who=who,
            id=f"approvals-{secrets.token_hex(16)}",
            client_id=canonical(message.id).encode(),
            client_token=None if token is None else canonical(token).encode(),
        )
        if message.method == "resources/subscribe":
            asked.subscribes = self._subscribe(message.params.get("uri"), who)
        self._asked[asked.id] = asked
        try:
            await self._write(message.asked_as(asked.id))
        except Ended:
            self.forget(asked)
            raise
        return asked

    def forget(self, asked: Asked) -> None:
        """Nobody waits for it any more."""
        if self._asked.pop(asked.id, None) is not None:
            self._give_up(asked.id, answered=asked.answered)

    def _give_up(self, id_: str, *, answered: bool) -> None:
        """The server may still work on it, so what it asks or tells may be about this."""
        if not answered and not self.ended:
            self._given_up[id_] = asyncio.get_running_loop().time()

    async def cancel(self, id_: str, reason: str) -> None:
        """Tell the server that nobody wants the answer to this request any more."""
        params: dict[str, Json] = {"requestId": id_, "reason": reason}
        await self.tell({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})

    async def tell(self, said: Mapping[str, Json]) -> None:
        """Say this; nothing is answered. Raises Ended."""
        await self.pass_on(as_read(said).encode())

    async def pass_on(self, line: bytes) -> None:
        """A client's notification as it is. Raises Ended."""
        await self._write(line)

    async def cancelled_by(self, who: Who, message: Message) -> None:
        """A client's `notifications/cancelled`, for the request that it means."""
        meant = canonical(message.params.get("requestId")).encode()
        for asked in list(self._asked.values()):
            if asked.who == who and asked.client_id == meant:
                reason = message.params.get("reason")
                await self.cancel(asked.id, reason if isinstance(reason, str) else "")

    async def answer_back(self, message: Message, who: Who) -> bool:
        """A client's answer to a question of the server; False: it was not asked that.

        Raises BadMessage where an approved call may not be given it.
        """
        asked = self._questions.get(message.id) if isinstance(message.id, str) else None
        if asked is None or asked.who != who:
            return False
        del self._questions[str(message.id)]
        await pass_answer(message, asked.give, partial(self._answer, asked.id))
        return True

    async def _answer(self, id_: Json, said: Mapping[str, Json]) -> bool:
        """Answer the server's question. Raises Ended."""
        await self.tell({"jsonrpc": "2.0", "id": id_, **said})
        return True

    def listen(self, who: Who) -> Inbox:
        """What the server says to this client outside of its requests; an older one ends."""
        if (older := self._listening.get(who)) is not None:
            older.close()
        inbox = self._listening[who] = Inbox(who=who)
        return inbox

    def leave(self, inbox: Inbox) -> None:
        if self._listening.get(inbox.who) is inbox:
            del self._listening[inbox.who]

    def end(self, who: Who) -> None:
        """A client's session is over."""
        if (inbox := self._listening.pop(who, None)) is not None:
            inbox.close()
        for uri in [uri for uri, subscribed in self._subscribed.items() if who in subscribed]:
            self.unsubscribe(uri, who)

    def subscribed_by_others(self, uri: Json, who: Who) -> bool:
        """Whether the server must go on telling of this resource after `who` has enough."""
        others = self._subscribed.get(uri) if isinstance(uri, str) else None
        return bool(others and others - {who})

    def tell_everybody(self, line: bytes) -> None:
        """To all who listen."""
        for inbox in list(self._listening.values()):
            inbox.put(line)

    def heard(self, line: bytes) -> None:
        """A line of the process, whatever it is."""
        self._unanswered = 0
        said = read(line)
        if not isinstance(said, dict) or said.get("jsonrpc") != "2.0":
            self._skip(line)
        elif "method" not in said:
            self._answered(line, said)
        elif "id" in said:
            self._asked_back(line, said)
        else:
            self._notified(line, said)

    async def _write(self, line: bytes) -> None:
        if self._process is None:
            raise Ended("The server's process has ended.")
        await self._process.write(line)

    def _over(self) -> None:
        for own in self._own.values():
            if not own.answer.done():
                own.answer.set_exception(ConnectionError("the process ended"))
        for inbox in [*self._asked.values(), *self._listening.values()]:
            inbox.close()
        self._asked.clear()
        self._questions.clear()
        self._given_up.clear()

    def _skip(self, line: bytes) -> None:
        """Many servers greet on stdout; that is no reason not to talk with them."""
        if line.strip():
            self._banners += 1
            level = logging.WARNING if self._banners == 1 else logging.DEBUG
            logger.log(level, "server %s: a line on stdout is no message, skipped", self._name)

    def _answered(self, line: bytes, said: Mapping[str, Any]) -> None:
        id_ = said.get("id")
        if id_ is None and "error" in said and not self.greeted:
            id_ = next(iter(self._own), None)  # later nobody knows whose request it could not read
        if not isinstance(id_, str):
            self._skip(line)
        elif id_ in self._given_up:
            del self._given_up[id_]
        elif (own := self._own.get(id_)) is not None:
            if not own.answer.done():
                own.answer.set_result(line)
        elif (asked := self._asked.pop(id_, None)) is not None:
            asked.answered = True
            if asked.subscribes is not None and "error" in said:
                self.unsubscribe(asked.subscribes, asked.who)
            asked.put(renamed(line, asked, asked.client_id))

    def _asked_back(self, line: bytes, said: Mapping[str, Any]) -> None:
        """A question of the server goes to the one client that it can be meant for, or is refused.

        While an approved call runs nobody is asked, unless the rule says that input may be given.
        """
        if said["method"] == "ping":
            self._reply({"jsonrpc": "2.0", "id": said["id"], "result": {}})
            return
        inbox, question = self._only_client(), exactly(line)
        own = next(iter(self._own.values()), None)
        if inbox is None or question is None or (own and not own.may_be_asked):
            error: dict[str, Json] = {"code": messages.INTERNAL_ERROR, "message": NOT_YOURS}
            self._reply({"jsonrpc": "2.0", "id": said["id"], "error": error})
            return
        ours = f"approvals-{secrets.token_hex(16)}"
        while len(self._questions) >= MAX_QUESTIONS:
            del self._questions[next(iter(self._questions))]
        give = own.waiting.give if own and own.waiting else None
        self._questions[ours] = _Question(question["id"], inbox.who, give, own)
        if not inbox.put(as_read({**question, "id": ours}).encode()):
            del self._questions[ours]
            self._reply({"jsonrpc": "2.0", "id": said["id"], "error": messages.NOT_ANSWERED})

    def _only_client(self) -> Inbox | Waiting | None:
        """The one request on its way, or where there is none the one client that listens; nobody
        while the server may still be at one that nobody waits for."""
        if self._is_at_something_else():
            return None
        own = [own.waiting for own in self._own.values()]
        waiting: list[Inbox | Waiting | None] = [*self._asked.values(), *own]
        waiting = waiting or [*self._listening.values()]
        return waiting[0] if len(waiting) == 1 else None

    def _is_at_something_else(self) -> bool:
        before = asyncio.get_running_loop().time() - GIVEN_UP.total_seconds()
        self._given_up = {id_: at for id_, at in self._given_up.items() if at > before}
        return bool(self._given_up)

    def _reply(self, said: Mapping[str, Json]) -> None:
        if len(self._replies) >= MAX_REPLIES:
            logger.debug("server %s asks more than it reads answers", self._name)
            return
        task = asyncio.ensure_future(self._try_to_tell(said))
        self._replies.add(task)
        task.add_done_callback(self._replies.discard)

    async def _try_to_tell(self, said: Mapping[str, Json]) -> None:
        try:
            await self.tell(said)
        except Ended:
            logger.debug("server %s ended before it was answered", self._name)

    def _notified(self, line: bytes, said: Mapping[str, Any]) -> None:
        params = said.get("params")
        params = params if isinstance(params, dict) else {}
        match said["method"]:
            case "notifications/progress":
                self._progressed(line, params.get("progressToken"))
            case "notifications/cancelled":
                self._withdrawn(params.get("requestId"))
            case "notifications/resources/updated" if not subscription_of(params):
                self._updated(line, params.get("uri"))
            case _ if subscription_of(params):
                self._told_of(line, subscription_of(params))
            case method if str(method).endswith("/list_changed"):
                self.tell_everybody(line)
            case _:
                if (inbox := self._only_client()) is not None:
                    inbox.put(line)

    def _progressed(self, line: bytes, token: Json) -> None:
        asked = self._asked.get(token) if isinstance(token, str) else None
        own = self._own.get(token) if isinstance(token, str) else None
        if own is not None and own.waiting is not None:
            own.waiting.put(line)
        if asked is not None and asked.client_token is not None:
            asked.put(renamed(line, asked, asked.client_token))

    def _told_of(self, line: bytes, id_: Json) -> None:
        """What belongs to a request on its way goes to who asked."""
        asked = self._asked.get(id_) if isinstance(id_, str) else None
        if asked is not None:
            asked.put(renamed(line, asked, asked.client_id))

    def _withdrawn(self, id_: Json) -> None:
        """The server does not want its own question answered any more."""
        for ours, question in list(self._questions.items()):
            if question.id == id_:
                del self._questions[ours]
                params = {"requestId": ours}
                note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
                own = [own.waiting for own in self._own.values() if own.waiting]
                inboxes: list[Inbox | Waiting] = [*own, *self._asked.values()]
                for inbox in [*inboxes, *self._listening.values()]:
                    if inbox.who == question.who:
                        inbox.put(canonical(note).encode())
                        break

    def _updated(self, line: bytes, uri: Json) -> None:
        for who in self._subscribed.get(str(uri), ()):
            if (inbox := self._listening.get(who)) is not None:
                inbox.put(line)

    def _subscribe(self, uri: Json, who: Who) -> str | None:
        """Raises BadMessage for too many or too long ones."""
        mine = sum(who in subscribed for subscribed in self._subscribed.values())
        if not isinstance(uri, str):
            return None
        if len(uri) > MAX_URI or mine >= MAX_SUBSCRIBED:
            raise BadMessage(messages.INVALID_PARAMS, "Too many subscriptions, or too long a URI.")
        if who in self._subscribed[uri]:
            return None
        self._subscribed[uri].add(who)
        return uri

    def unsubscribe(self, uri: Json, who: Who) -> None:
        """`who` is not told of this resource any more."""
        if isinstance(uri, str) and uri in self._subscribed:
            self._subscribed[uri].discard(who)
            if not self._subscribed[uri]:
                del self._subscribed[uri]
