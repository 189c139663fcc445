"""Play attacks against the real gateway, the real REST API and the toy exchange, a line each.

Whether the exchange received anything that nobody approved is counted beside, whatever an attack
says of itself.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from approvals.demo.attacker import Attacker, NotHeld, Outcome, attacking
from approvals.demo.stage import built

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

POLICY = {
    "version": "1",
    "default": "deny",
    "tools": {
        "withdraw": {
            "require_approval_if": [{"conditions": []}],
            "summary": "Withdraw {amount} {currency}",
            "risk": {"category": "Financial"},
        },
        "binance_us_cancel_order": {
            "require_approval_if": [{"conditions": []}],
            "approval": {"timeout": "1s"},
        },
    },
}
_EACH_WITHIN = timedelta(seconds=20)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attack:
    """Its name in a few words, and what is tried."""

    name: str
    attempt: Callable[[Attacker], Awaitable[Outcome]]


async def play(say: Callable[[str], None], attacks: Sequence[Attack]) -> bool:
    """Play `attacks`, a line each. Whether none got through."""
    say("Attacks on a real gateway before a toy exchange. All on this machine.")
    say("  policy     withdrawing and cancelling need a person; Alice owns the agent")
    say(f"      {'attack':<36}  {'exchange got':<12}  what came of it")
    stopped = 0
    with tempfile.TemporaryDirectory(prefix="approvals-demo-") as folder:
        async with (
            built(Path(folder), lasting="2m", policy=POLICY) as stage,
            attacking(stage) as attacker,
        ):
            for number, attack in enumerate(attacks, start=1):
                stopped += await _played(attacker, number, attack, say)
    say(_sum(len(attacks), stopped, attacker))
    return stopped == len(attacks) and not attacker.unapproved


async def _played(
    attacker: Attacker, number: int, attack: Attack, say: Callable[[str], None]
) -> bool:
    requests, unapproved = attacker.exchange.requests, attacker.unapproved
    outcome = await _outcome(attacker, attack)
    more, wrong = attacker.exchange.requests - requests, attacker.unapproved - unapproved
    if wrong:
        outcome = Outcome(stopped=False, said=f"{requests_in_words(wrong)} that nobody approved")
    said = outcome.said if outcome.stopped else f"GOT THROUGH: {outcome.said}"
    say(f"  {number:>2}  {attack.name:<36}  {requests_in_words(more):<12}  {said}")
    return outcome.stopped


async def _outcome(attacker: Attacker, attack: Attack) -> Outcome:
    """What came of it, once everything it began has ended."""
    try:
        async with asyncio.timeout(_EACH_WITHIN.total_seconds()):
            return await attack.attempt(attacker)
    except NotHeld as error:
        return Outcome(stopped=False, said=str(error))
    except TimeoutError:
        return Outcome(stopped=False, said="it did not end")
    finally:
        await attacker.leave()


def requests_in_words(number: int) -> str:
    """`nothing`, `1 request`, `2 requests`."""
    return "nothing" if not number else "1 request" if number == 1 else f"{number} requests"


def _sum(attacks: int, stopped: int, attacker: Attacker) -> str:
    through = "none got through" if stopped == attacks else f"{attacks - stopped} GOT THROUGH"
    received, wrong = requests_in_words(attacker.exchange.requests), attacker.unapproved
    whose = f"{wrong} of them approved by nobody" if wrong else "each approved by a person"
    return f"{attacks} attacks, {through}; the exchange received {received}, {whose}."
