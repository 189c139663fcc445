"""What a decision binds: everything that matters changes the digest, nothing else does."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from approvals.domain.call import Call, Executor, canonical_arguments
from approvals.domain.digest import (
    digest,
    identity_text,
    requirement_hash,
    sha256,
    stage_facts,
)
from approvals.domain.directory import Assurance
from approvals.domain.quorum import Gone, Requirement, Stage
from approvals.domain.strictjson import Number, parse, quoted
from tests.domain.builders import call, defined

ASKED = call()
DEFINED = defined("Cancel.", name="binance_us_cancel_order")

IN_BOTH = {
    "agent": {"agent": "other-bot"},
    "arguments": {"arguments": '{"orderId":12346,"symbol":"BTCUSD"}'},
    "executor": {"executor": Executor.CALLER},
    "server": {"server": "backup"},
    "tool": {"tool": "binance_us_cancel_all"},
}


def of(asked: Call = ASKED, requirement: Requirement | None = None, *, revision: int = 1) -> str:
    return digest(asked, requirement or Requirement(), revision=revision)


def test_anybody_can_recompute_the_digest() -> None:
    requirement = hashlib.sha256(
        b'{"exclude_owner":true,"ordered":false,"stages":[{"approvers":["everyone"],'
        b'"assurance":"slack","deny_threshold":1,"name":"","required":1}]}'
    ).hexdigest()
    text = (
        '{"agent":"trader-bot","arguments":{"orderId":12345,"symbol":"BTCUSD"},"definition":null,'
        f'"executor":"gateway","requirement":"sha256:{requirement}","revision":1,'
        '"server":"exchange","tool":"binance_us_cancel_order"}'
    )
    assert of() == "v1:sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_the_digested_text_is_canonical_json_whatever_the_names_contain() -> None:
    odd = replace(ASKED, tool='a","tool":"b', server="é\n", agent="\\")
    read = parse(identity_text(odd).encode())
    assert isinstance(read, dict)
    assert (read["tool"], read["server"], read["agent"]) == (odd.tool, odd.server, odd.agent)


@pytest.mark.parametrize("change", IN_BOTH.values(), ids=IN_BOTH)
def test_what_makes_another_call_changes_digest_and_identity(change: dict[str, object]) -> None:
    other = replace(ASKED, **change)  # type: ignore[arg-type]
    assert of(other) != of()
    assert identity_text(other) != identity_text(ASKED)


def test_the_definition_and_the_revision_change_the_digest_but_not_the_identity() -> None:
    defined = replace(ASKED, definition=DEFINED)
    changed = replace(ASKED, definition=replace(DEFINED, hash="sha256:e"))
    assert len({of(), of(defined), of(changed), of(revision=2)}) == 4
    assert identity_text(defined) == identity_text(ASKED)


@pytest.mark.parametrize(
    "change",
    [
        {"owner": "bob"},
        {"session": "s-1"},
        {"justification": "It is stale."},
        {"argument_order": ()},
    ],
    ids=lambda change: next(iter(change)),
)
def test_who_owns_the_agent_or_what_it_says_changes_neither(change: dict[str, object]) -> None:
    other = replace(ASKED, **change)  # type: ignore[arg-type]
    assert of(other) == of()
    assert identity_text(other) == identity_text(ASKED)


@pytest.mark.parametrize(
    "other",
    [
        Requirement(exclude_owner=False),
        Requirement(ordered=True),
        Requirement(stages=(Stage(), Stage())),
        Requirement(stages=(Stage(name="second"),)),
        Requirement(stages=(Stage(approvers=frozenset({"group:trading"})),)),
        Requirement(stages=(Stage(required=2),)),
        Requirement(stages=(Stage(deny_threshold=2),)),
        Requirement(stages=(Stage(assurance=Assurance.WEB),)),
        Requirement(stages=(Stage(escalates_to=frozenset({"person:carol"})),)),
    ],
)
def test_who_has_to_approve_changes_the_digest(other: Requirement) -> None:
    assert requirement_hash(other) != requirement_hash(Requirement())
    assert of(ASKED, other) != of()


def test_stages_are_hashed_in_their_order_and_approvers_sorted() -> None:
    one, two = Stage(name="one"), Stage(name="two")
    assert requirement_hash(Requirement(stages=(one, two))) != requirement_hash(
        Requirement(stages=(two, one))
    )
    names = [f"person:p{number}" for number in range(9)]
    listed = ",".join(quoted(name) for name in names)
    text = (
        f'{{"exclude_owner":true,"ordered":false,"stages":[{{"approvers":[{listed}],'
        '"assurance":"slack","deny_threshold":1,"name":"","required":1}]}'
    )
    stage = Stage(approvers=frozenset(reversed(names)))
    assert requirement_hash(Requirement(stages=(stage,))) == sha256(text)


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    "other",
    [
        Requirement(timeout=HOUR, use_within=HOUR, max_timeout=HOUR),
        Requirement(release_delay=HOUR, deny_memory=HOUR),
        Requirement(remind_at=(), escalate_after=HOUR, escalate_channels=("log",)),
        Requirement(channels=("log",), on_requester_gone=Gone.CANCEL, detached=True),
        Requirement(name_approvers=True, allow_input=True),
    ],
)
def test_times_channels_and_the_rest_do_not_change_the_digest(other: Requirement) -> None:
    assert of(ASKED, other) == of()


def test_whoever_joins_by_an_escalation_is_hashed_with_the_stage() -> None:
    stage = Stage(escalates_to=frozenset({"person:dan", "person:carol"}))
    assert stage_facts(stage) == {
        "approvers": ["everyone"],
        "assurance": "slack",
        "deny_threshold": 1,
        "escalates_to": ["person:carol", "person:dan"],
        "name": "",
        "required": 1,
    }


def test_one_and_one_point_nought_are_different_calls() -> None:
    texts = [canonical_arguments({"quantity": value}) for value in (1, Number("1.0"))]
    assert len({of(replace(ASKED, arguments=text)) for text in texts}) == 2


def test_a_hash_says_how_it_was_made() -> None:
    assert sha256("é") == "sha256:" + hashlib.sha256(b"\xc3\xa9").hexdigest()


def test_the_digest_takes_other_arguments_where_values_are_hidden() -> None:
    asked = call({"otp": "1234"})
    hidden = digest(asked, Requirement(), revision=1, arguments='{"otp":"key:hash"}')
    assert hidden == digest(call({"otp": "key:hash"}), Requirement(), revision=1)
    assert hidden != digest(asked, Requirement(), revision=1)
