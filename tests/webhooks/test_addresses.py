"""Where a letter may go: looked at again at every delivery, whatever the file says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from approvals.channels.webhook import WebhookChannel
from approvals.domain.rulebook import Webhook
from approvals.domain.states import NoticeKind
from approvals.outbound import Outbound
from approvals.ports.telling import Delivery, NotTold
from approvals.storage.clock import SystemClock
from tests.webhooks.hostile_urls import (
    INNER,
    NAMES,
    NEVER,
    PUBLIC,
    PUBLIC6,
    SPELLED,
    every,
)
from tests.webhooks.receiver import (
    DESK,
    OPS,
    OTHER,
    SECRET,
    Receiver,
    deliveries,
    desk,
)

pytestmark = pytest.mark.anyio

LETTER = Delivery(
    id="evt_1:webhook:ops",
    approval_id="apr_1",
    channel=OPS,
    kind=NoticeKind.REQUESTED,
    event="parked",
    at=datetime(2026, 11, 20, 12, 0, tzinfo=UTC),
)
BODY = '{"type":"approval.requested"}'


class Listener(asyncio.Protocol):
    def __init__(self, connections: list[str]) -> None:
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.append(str(transport.get_extra_info("peername")))
        transport.close()


@dataclass
class Listening:
    """A server at every address of this machine that counts who connects to it."""

    port: int
    connections: list[str] = field(default_factory=list)

    async def untouched(self) -> bool:
        """Whether nobody came: it is asked by connecting to it, who came before was counted."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        async with asyncio.timeout(5):
            while not self.connections:
                await asyncio.sleep(0.01)
        writer.close()
        return len(self.connections) == 1


@pytest.fixture
async def listening() -> AsyncIterator[Listening]:
    both = socket.has_dualstack_ipv6()
    listener = socket.create_server(
        ("::" if both else "0.0.0.0", 0),
        family=socket.AF_INET6 if both else socket.AF_INET,
        dualstack_ipv6=both,
    )
    made = Listening(listener.getsockname()[1])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Listener(made.connections), sock=listener)
    yield made
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def channel(url: str, *, allow_private: bool = False) -> AsyncIterator[WebhookChannel]:
    """As the registry makes it."""
    outbound = Outbound(
        allow_private=allow_private,
        connect_timeout=timedelta(milliseconds=500),
        keep_alive=False,
    )
    webhook = Webhook(url=url, secrets=(SECRET,), allow_private=allow_private)
    try:
        yield WebhookChannel(webhook, outbound, SystemClock())
    finally:
        await outbound.close()


async def refusal(url: str, *, allow_private: bool = False) -> NotTold:
    """Why it could not be sent there."""
    async with channel(url, allow_private=allow_private) as webhook, asyncio.timeout(10):
        with pytest.raises(NotTold) as caught:
            await webhook.send(LETTER, BODY)
        return caught.value


@contextmanager
def resolving(answer: Callable[[str], Sequence[str]]) -> Iterator[list[str]]:
    """Names lead to what `answer` says; which were looked up."""
    loop = asyncio.get_running_loop()
    found, asked = loop.getaddrinfo, list[str]()

    async def answers(host: str, port: int, **_: object) -> object:
        asked.append(host)
        return [entry(address, port) for address in answer(host)]

    loop.getaddrinfo = answers  # type: ignore[method-assign,assignment]
    try:
        yield asked
    finally:
        loop.getaddrinfo = found  # type: ignore[method-assign]


def entry(address: str, port: int) -> tuple[object, ...]:
    """One line of what getaddrinfo answers."""
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))


@pytest.mark.parametrize("name", every())
async def test_nothing_reaches_a_server_of_this_machine(listening: Listening, name: str) -> None:
    """Every hostile URL, however it got past the file. Numbers are read by the real resolver; all
    names lead inside."""
    url = every()[name].replace("PORT", str(listening.port))
    names = nullcontext() if name in SPELLED else resolving(lambda _: ["127.0.0.1"])
    with names:
        async with channel(url) as webhook, asyncio.timeout(10):
            with pytest.raises((NotTold, ValueError)):
                await webhook.send(LETTER, BODY)
    assert await listening.untouched()


@pytest.mark.parametrize("host", [*NEVER.values(), *INNER.values()], ids=[*NEVER, *INNER])
async def test_an_inner_address_is_blocked_before_any_connection_is_tried(host: str) -> None:
    error = await refusal(f"http://{host}:8080/")
    assert str(error).startswith("the address may not be reached: ")
    assert not error.unclear
    assert not error.closed


@pytest.mark.parametrize("host", SPELLED.values(), ids=SPELLED)
async def test_a_number_that_spells_an_inner_address_is_not_sent_to(host: str) -> None:
    error = await refusal(f"http://{host}:8080/")
    assert not error.unclear
    assert str(error).startswith(
        ("the address may not be reached: ", "the address cannot be reached (InvalidUrl")
    )


@pytest.mark.parametrize("host", NEVER.values(), ids=NEVER)
async def test_what_is_never_reached_is_blocked_also_where_private_is_allowed(host: str) -> None:
    error = await refusal(f"http://{host}:8080/", allow_private=True)
    assert str(error).startswith("the address may not be reached: ")


async def test_what_could_not_be_sent_is_told_as_that_whatever_the_url_is() -> None:
    """`send` raises NotTold (ports/telling.py), and of what never left it knows that."""
    odd: dict[str, str] = {}
    with resolving(lambda _: ["127.0.0.1"]):
        for name, url in every().items():
            async with channel(url.replace("PORT", "8080")) as webhook, asyncio.timeout(10):
                try:
                    await webhook.send(LETTER, BODY)
                except NotTold as error:
                    odd |= {name: f"{url}: unclear: {error}"} if error.unclear else {}
                except ValueError as error:
                    odd[name] = f"{url}: {type(error).__name__}: {error}"
    assert odd == {}


@pytest.mark.parametrize("host", NAMES)
@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "10.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1%eth0", "::"],
)
async def test_a_name_that_leads_inside_is_blocked(
    listening: Listening, host: str, address: str
) -> None:
    with resolving(lambda _: [address]) as asked:
        error = await refusal(f"http://{host}:{listening.port}/")
    assert str(error).startswith("the address may not be reached: ")
    assert not error.unclear
    assert len(asked) == 1
    assert await listening.untouched()


@pytest.mark.parametrize(
    "addresses",
    [
        [PUBLIC, "127.0.0.1"],
        ["127.0.0.1", PUBLIC],
        [PUBLIC6, "::1"],
        [PUBLIC, PUBLIC6, "10.0.0.1"],
        [PUBLIC, "::ffff:169.254.169.254"],
    ],
    ids=" ".join,
)
async def test_a_name_of_which_one_address_is_inside_is_blocked_as_a_whole(
    listening: Listening, addresses: list[str]
) -> None:
    with resolving(lambda _: addresses), connecting() as reached:
        error = await refusal(f"http://two.example:{listening.port}/")
    assert str(error).startswith("the address may not be reached: ")
    assert reached == []


@contextmanager
def connecting() -> Iterator[list[tuple[object, ...]]]:
    """Nobody can be connected to; whom it was tried with."""
    loop = asyncio.get_running_loop()
    found, reached = loop.sock_connect, list[tuple[object, ...]]()

    async def connect(sock: socket.socket, address: tuple[object, ...]) -> None:
        reached.append(tuple(address[:2]))
        raise ConnectionRefusedError

    loop.sock_connect = connect  # type: ignore[method-assign,assignment]
    try:
        yield reached
    finally:
        loop.sock_connect = found  # type: ignore[method-assign]


async def test_a_name_that_leads_elsewhere_after_it_was_checked_is_not_asked_again() -> None:
    """Rebinding: the first answer is public, every later one is inside."""
    answers = iter([[PUBLIC]])
    with resolving(lambda _: next(answers, ["127.0.0.1"])) as asked, connecting() as reached:
        error = await refusal("http://rebinding.example:8080/")
        assert str(error).startswith("the address cannot be reached")
        assert asked == ["rebinding.example"]
        assert reached == [(PUBLIC, 8080)]
        again = await refusal("http://rebinding.example:8080/")
        assert str(again).startswith("the address may not be reached: ")
        assert reached == [(PUBLIC, 8080)]


async def test_each_letter_looks_where_the_name_leads_and_connects_where_it_looked() -> None:
    """Where private addresses are allowed, a name cannot be turned to metadata either."""
    ops = Receiver()
    answers = iter([["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1", "fd00:ec2::254"]])
    async with ops.served() as url:
        url = url.replace("127.0.0.1", "inside.example")
        with resolving(lambda _: next(answers)) as asked:
            async with channel(url, allow_private=True) as webhook:
                await webhook.send(LETTER, BODY)
                for _ in range(2):
                    with pytest.raises(NotTold, match="may not be reached: link-local"):
                        await webhook.send(LETTER, BODY)
    assert len(asked) == 3
    [letter] = ops.letters
    assert letter.headers["host"] == url.split("/")[2]
    assert ops.forged == []


async def test_a_proxy_of_the_environment_is_not_asked(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would resolve the name itself, and nobody would look where that leads."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{listening.port}")
    ops = Receiver()
    async with ops.served() as url, channel(url, allow_private=True) as webhook:
        await webhook.send(LETTER, BODY)
    assert len(ops.letters) == 1
    assert await listening.untouched()


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
async def test_a_redirect_is_not_followed(listening: Listening, status: int) -> None:
    ops = Receiver()
    async with ops.served() as url:
        for there in (
            f"http://127.0.0.1:{listening.port}/",
            f"//localhost:{listening.port}/",
            f"{url}?again",
            "http://169.254.169.254/latest/meta-data/",
        ):
            refresh = {"location": there, "refresh": f"0; url={there}"}
            ops.fail((status, refresh))
            error = await refusal(url, allow_private=True)
            assert str(error) == f"it answered {status}"
            assert not error.closed
    assert len(ops.tried) == 4
    assert (ops.letters, ops.forged) == ([], [])
    assert await listening.untouched()


async def test_a_webhook_whose_name_leads_inside_loads_and_is_told_nothing(
    tmp_path: Path, listening: Listening
) -> None:
    """What only resolution can tell is seen at delivery, on record, and delays no other."""
    inside = {
        "url": f"https://localhost:{listening.port}/hook",
        "secret": SECRET,
        "allow_private": False,
    }
    other = Receiver(OTHER)
    async with desk(tmp_path, {DESK: other}, channels={OPS: inside}) as w:
        approval = await w.parked()
        await other.letter("approval.requested", approval)
        async with asyncio.timeout(10):
            while not (waiting := await deliveries(w, f"&channel={OPS}"))[0]["attempts"]:
                await asyncio.sleep(0.05)
    [one] = waiting
    assert one["status"] == "waiting"
    assert one["attempts"][0]["error"] == (
        "the address may not be reached: private and loopback addresses are not allowed here"
    )
    assert await listening.untouched()
