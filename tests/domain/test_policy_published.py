"""The published policies, pasted: they load unchanged and mean what they say."""

from __future__ import annotations

import pytest

from approvals.domain.policy.document import asks_for_approval
from approvals.domain.policy.model import AskingRule, Ruling, ToolPolicy
from approvals.domain.quorum import Requirement
from tests.domain.policies import judged, read

SEED_000 = """
{ "version": "1", "default": "deny",
  "tools": { "binance_us_cancel_order": { "deny_if": [ { "conditions": [], "on_deny": "Requires human approval." } ] } } }
"""  # noqa: E501
SEED_001 = """
{ "version": "1", "default": "deny",
  "tools": { "binance_us_cust_cancel_orders_symbol": { "deny_if": [ { "conditions": [], "on_deny": "Requires human approval." } ] } } }
"""  # noqa: E501
SEED_002 = """
{ "version": "1", "default": "deny", "hide": [ "binance_us_cust_cancel_order" ] }
"""
SEED_003 = """
{ "version": "1", "default": "deny", "hide": [ "cancel_order" ] }
"""
SEED_004 = """
{ "version": "1", "default": "deny", "hide": [ "BinanceSpotCancelOpenTWAPOrder" ] }
"""
PARKING = {
    "binance_us_cancel_order": SEED_000,
    "binance_us_cust_cancel_orders_symbol": SEED_001,
}
HIDING = {
    "binance_us_cust_cancel_order": SEED_002,
    "cancel_order": SEED_003,
    "BinanceSpotCancelOpenTWAPOrder": SEED_004,
}


@pytest.mark.parametrize(("name", "text"), PARKING.items(), ids=PARKING)
def test_the_published_policies_that_ask_a_person_are_read_so(name: str, text: str) -> None:
    rules = read(text)
    assert rules.default is Ruling.DENY
    assert rules.tools == {
        name: ToolPolicy(
            pointer=f"/tools/{name}",
            require_approval_if=(
                AskingRule(
                    pointer=f"/tools/{name}/deny_if/0", message="", requirement=Requirement()
                ),
            ),
        )
    }


@pytest.mark.parametrize(("name", "text"), PARKING.items(), ids=PARKING)
def test_they_park_every_call_of_their_tool_and_deny_every_other(name: str, text: str) -> None:
    rules = read(text)
    for arguments in ({}, {"orderId": 1}):
        verdict = judged(rules, arguments, tool=name)  # type: ignore[arg-type]
        assert (verdict.ruling, verdict.rule) == (
            Ruling.REQUIRE_APPROVAL,
            f"/tools/{name}/deny_if/0",
        )
    assert judged(rules, tool=f"{name}_").rule == "(default deny)"


@pytest.mark.parametrize(("name", "text"), HIDING.items(), ids=HIDING)
def test_the_published_policies_that_hide_a_tool_hide_it_and_deny_the_rest(
    name: str, text: str
) -> None:
    rules = read(text)
    assert (rules.default, rules.hide, rules.tools) == (Ruling.DENY, (name,), {})
    assert judged(rules, tool=name).ruling is Ruling.HIDE
    assert judged(rules, tool="other").ruling is Ruling.DENY


@pytest.mark.parametrize(
    ("on_deny", "asks"),
    [
        ("Requires human approval.", True),
        ("requires human approval", True),
        ("  REQUIRES   Human\tapproval . ", True),
        ("Requires approval.", False),
        ("Requires human approval!", False),
        ("Never requires human approval.", False),
        ("", False),
    ],
)
def test_only_the_published_wording_asks_for_a_person(on_deny: str, asks: bool) -> None:
    assert asks_for_approval(on_deny) is asks
