"""Attacks that got through other approval tools, played against this one (SECURITY.md 31).

Each tries what it says, and tells what it was answered.
"""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from approvals.demo.attacked import Attack, requests_in_words
from approvals.demo.attacker import Outcome
from approvals.domain.states import Approval, Status
from approvals.gateway.messages import PARSE_ERROR

if TYPE_CHECKING:
    import httpx2

    from approvals.demo.attacker import Attacker

EXACT = 10**18 + 1
HARM = "and everything else to mallory"
SWAPPED = "pay \u2067\u2066bob\u2069 to \u2066alice\u2069\u2069"
"""Reads `pay alice to bob` wherever its marks are obeyed; a tool is told `pay bob to alice`."""
INNER = "http://169.254.169.254/latest/meta-data/"
_EXPIRES_WITHIN = timedelta(seconds=10)


async def _own_call(attacker: Attacker) -> Outcome:
    asked = await attacker.held(_withdrawal(1))
    answer = await attacker.rest("agent", f"/{asked.id}/approve", {"digest": asked.digest})
    return _refused(answer, "forbidden")


async def _in_anothers_name(attacker: Attacker) -> Outcome:
    asked = await attacker.held(_withdrawal(2))
    body = {"digest": asked.digest, "person": "you"}
    return _refused(await attacker.rest("alice", f"/{asked.id}/approve", body), "invalid_input")


async def _other_digest(attacker: Attacker) -> Outcome:
    small, large = await attacker.held(_withdrawal(3)), await attacker.held(_withdrawal(3_000_000))
    answer = await attacker.rest("you", f"/{large.id}/approve", {"digest": small.digest})
    return _refused(answer, "digest_mismatch")


async def _too_late(attacker: Attacker) -> Outcome:
    order = '{"symbol":"BTCUSD","orderId":12345}'
    asked = await attacker.held(order, tool="binance_us_cancel_order")
    await attacker.services.waiting.until(
        asked.id, lambda found: found.status is Status.EXPIRED, within=_EXPIRES_WITHIN
    )
    return _refused(await attacker.approve(asked), "expired")


async def _twice(attacker: Attacker) -> Outcome:
    before = attacker.exchange.requests
    asked = await attacker.held(_withdrawal(5))
    attacker.call(_withdrawal(5))
    answers = await asyncio.gather(attacker.approve(asked), attacker.approve(asked))
    await attacker.leave()
    sent = attacker.exchange.requests - before
    codes = ", ".join(str(answer.status_code) for answer in answers)
    return Outcome(
        stopped=sent == 1, said=f"2 calls and 2 approvals ({codes}) make {requests_in_words(sent)}"
    )


async def _harm_at_the_end(attacker: Attacker) -> Outcome:
    memo = f"{'rent for bob, ' * 1450}{HARM}"
    asked = await attacker.held(_withdrawal(6, memo))
    shown, text = attacker.shown(asked), _memo_shown(attacker, asked)
    await attacker.deny(asked)
    if not shown.complete or text != json.dumps(memo):
        return Outcome(stopped=False, said="the card does not show all of it")
    return Outcome(stopped=True, said=f"denied: the card shows all {len(text):,} characters")


async def _hidden_marks(attacker: Attacker) -> Outcome:
    asked = await attacker.held(_withdrawal(7, SWAPPED))
    text = _memo_shown(attacker, asked)
    flags = [flag for line in attacker.shown(asked).arguments for flag in line.flags]
    await attacker.deny(asked)
    if not text.isascii() or "hidden characters" not in flags:
        return Outcome(stopped=False, said="the card hides the marks")
    return Outcome(stopped=True, said=f"denied: shown as {text}")


async def _many_digits(attacker: Attacker) -> Outcome:
    before = attacker.exchange.requests
    asked = await attacker.held(_withdrawal(EXACT))
    [shown] = [line.value for line in attacker.shown(asked).arguments if line.name == "amount"]
    await attacker.approve(asked)
    await attacker.leave()
    received = [_amount(arguments) for _, arguments in attacker.exchange.received[before:]]
    return Outcome(
        stopped=[shown, *received] == [str(EXACT)] * 2,
        said=f"shown as {shown}, received as {' and '.join(received) or 'nothing'}",
    )


async def _infinity(attacker: Attacker) -> Outcome:
    return _unreadable(await attacker.sends('{"amount":1e400,"currency":"BTC"}'))


async def _one_name_twice(attacker: Attacker) -> Outcome:
    for second in ("amount", "\\u0061mount"):
        arguments = f'{{"amount":1,"currency":"BTC","{second}":9000}}'
        outcome = _unreadable(await attacker.sends(arguments))
        if not outcome.stopped:
            break
    return outcome


async def _changed_later(attacker: Attacker) -> Outcome:
    first = await attacker.approve(await attacker.held(_withdrawal(11)))
    changed = await attacker.sends(_withdrawal(11_000_000))
    if not first.is_success or not isinstance(changed, Approval):
        return Outcome(stopped=False, said="nobody was asked again")
    amount = _amount(changed.call.arguments)
    return Outcome(stopped=True, said=f"held: {amount} is another call, a person is asked anew")


async def _inner_network(attacker: Attacker) -> Outcome:
    call = {
        "server": "exchange",
        "tool": "withdraw",
        "arguments": {"amount": 12, "currency": "BTC"},
    }
    return _refused(
        await attacker.rest("agent", "", {**call, "callback_url": INNER}), "invalid_input"
    )


async def _rebound(attacker: Attacker) -> Outcome:
    asked = await attacker.held(_withdrawal(13))
    body = {"digest": asked.digest}
    answer = await attacker.rest("you", f"/{asked.id}/approve", body, host="rebound.example")
    return _refused(answer, "forbidden")


ATTACKS = (
    Attack(name="the agent approves its own call", attempt=_own_call),
    Attack(name="Alice decides as somebody else", attempt=_in_anothers_name),
    Attack(name="your approval, for another call", attempt=_other_digest),
    Attack(name="your approval, after the deadline", attempt=_too_late),
    Attack(name="called twice, approved twice", attempt=_twice),
    Attack(name="20 kB, the harm at the very end", attempt=_harm_at_the_end),
    Attack(name="hidden marks that swap two names", attempt=_hidden_marks),
    Attack(name="a number that floats round off", attempt=_many_digits),
    Attack(name="1e400, which tools read as infinity", attempt=_infinity),
    Attack(name="one name twice, also by an escape", attempt=_one_name_twice),
    Attack(name="other arguments, once approved", attempt=_changed_later),
    Attack(name="an address of the inner network", attempt=_inner_network),
    Attack(name="a web page under a forged Host", attempt=_rebound),
)


def _withdrawal(amount: int, memo: str = "") -> str:
    return json.dumps({"amount": amount, "currency": "BTC", "memo": memo})


def _memo_shown(attacker: Attacker, asked: Approval) -> str:
    """The memo on the card, quotes and all."""
    [text] = [line.value for line in attacker.shown(asked).arguments if line.name == "memo"]
    return text


def _amount(arguments: str) -> str:
    """With the digits as they are written."""
    return str(json.loads(arguments, parse_int=str)["amount"])


def _refused(answer: httpx2.Response, code: str) -> Outcome:
    """Stopped only if it is refused with this code: another refusal would prove nothing."""
    found = _read(answer)
    if answer.is_success or found.get("code") != code:
        return Outcome(stopped=False, said=f"answered {answer.status_code}, and not {code}")
    return _said_no(answer, found["detail"])


def _unreadable(came: Approval | httpx2.Response) -> Outcome:
    """Stopped only if the call could not be read: nobody is asked about it then."""
    if isinstance(came, Approval):
        return Outcome(stopped=False, said="a person was asked about it")
    error = _read(came).get("error", {})
    if came.is_success or error.get("code") != PARSE_ERROR:
        return Outcome(stopped=False, said=f"answered {came.status_code}, and not as unreadable")
    return _said_no(came, error["message"])


def _said_no(answer: httpx2.Response, why: str) -> Outcome:
    """With the first clause of what the service says."""
    first = re.split(r"[.;] ", why)[0].rstrip(".")
    return Outcome(stopped=True, said=f"refused ({answer.status_code}): {first}.")


def _read(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
