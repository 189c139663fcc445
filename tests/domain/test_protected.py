"""The hash of what must not be altered afterwards: whatever is altered, it shows."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal

import pytest

from approvals.domain import protected
from approvals.domain.call import Call, Executor, ToolDefinition
from approvals.domain.chain import Head
from approvals.domain.classify import classify
from approvals.domain.digest import digest
from approvals.domain.directory import Assurance
from approvals.domain.protected import protected_hash
from approvals.domain.quorum import Gone, Requirement, Stage
from approvals.domain.risk import Category, Level, risk_of
from approvals.domain.states import (
    Answer,
    Approval,
    Approved,
    CancelReason,
    Decision,
    Denied,
    EarlierRun,
    Lapsed,
    Outcome,
    Overdue,
    Pending,
    Released,
    ReleaseStatus,
    State,
    Withdrawn,
)
from approvals.domain.strictjson import canonical, parse
from tests.domain.builders import MINUTE, NOON, approval, decision, defined

LATER = NOON + MINUTE
MOMENT = timedelta(microseconds=1)
ASKED = approval()
SAID = replace(decision(of=ASKED), reason="fine")
APPROVED = Approved(decided_at=LATER, use_from=LATER, use_by=LATER + MINUTE)
SENT = Released(approved=APPROVED, token="token", process="prc", sent_at=LATER)
RAN = Outcome(
    status=ReleaseStatus.SUCCEEDED,
    detail="ok",
    at=LATER,
    delivered=True,
    result_hash="sha256:r",
    result_size=2,
)
STATES: tuple[State, ...] = (
    Pending(),
    APPROVED,
    Denied(at=LATER),
    Overdue(at=LATER),
    Withdrawn(reason=CancelReason.CANCELLED, at=LATER),
    Withdrawn(reason=CancelReason.POLICY_CHANGED, at=LATER),
    Lapsed(at=LATER),
    SENT,
    replace(SENT, outcome=RAN),
)

OF_THE_APPROVAL: dict[str, object] = {
    "id": "apr_1",
    "identity": "k:other",
    "digest": "v1:sha256:0",
    "policy_hash": "sha256:other",
    "rule": "/tools/x",
    "message": "Large.",
    "summary": "Cancel nothing",
    "channels": ("log", "slack"),
    "created_at": NOON + MOMENT,
    "expires_at": NOON + MINUTE,
    "version": 2,
    "revision": 2,
    "decisions": (SAID,),
    "state": APPROVED,
    "earlier_run": EarlierRun(status=ReleaseStatus.FAILED, at=NOON),
    "idempotency_key": "k-1",
    "erased": "k:arguments",
    "hidden": ("/secret",),
    "reminded": 1,
    "escalated_at": NOON,
    "detached": True,
    "unnoticed": True,
}
OF_THE_CALL: dict[str, object] = {
    "executor": Executor.CALLER,
    "server": "backup",
    "tool": "cancel_all",
    "agent": "other-bot",
    "owner": "bob",
    "session": "s-1",
    "justification": "It is stale.",
    "argument_order": ("orderId", "symbol"),
}
THROUGH_THE_DIGEST: dict[str, object] = {
    "arguments": '{"orderId":12346,"symbol":"BTCUSD"}',
    "definition": defined(),
}
OF_A_STAGE: dict[str, object] = {
    "name": "desk",
    "approvers": frozenset({"group:trading"}),
    "required": 2,
    "deny_threshold": 2,
    "assurance": Assurance.WEB,
    "escalates_to": frozenset({"person:carol"}),
}
OF_A_REQUIREMENT: dict[str, object] = {
    "stages": (Stage(), Stage()),
    "ordered": True,
    "exclude_owner": False,
    "timeout": timedelta(minutes=15) + MOMENT,
    "use_within": timedelta(minutes=5) + MOMENT,
    "release_delay": MOMENT,
    "deny_memory": timedelta(minutes=5) + MOMENT,
    "remind_at": (Decimal("0.5"),),
    "escalate_after": MINUTE,
    "escalate_channels": ("log",),
    "max_timeout": timedelta(hours=24) + MOMENT,
    "on_requester_gone": Gone.CANCEL,
    "detached": True,
    "channels": ("log",),
    "name_approvers": True,
    "allow_input": True,
}
OF_A_DECISION: dict[str, object] = {
    "person": "carol",
    "answer": Answer.DENY,
    "channel": "slack",
    "assurance": Assurance.WEB_MFA,
    "stages": frozenset({0, 1}),
    "digest": None,
    "at": LATER + MOMENT,
    "reason": None,
    "solo": True,
}
OF_A_DEFINITION: dict[str, object] = {
    "name": "other",
    "description": "other",
    "hash": "other",
    "classified": classify("delete_everything"),
}
OF_A_RELEASE: dict[str, object] = {
    "token": "other",
    "process": "other",
    "sent_at": LATER + MOMENT,
    "report_by": LATER + MINUTE,
    "outcome": RAN,
}
OF_AN_OUTCOME: dict[str, object] = {
    "status": ReleaseStatus.FAILED,
    "detail": "other",
    "at": LATER + MOMENT,
    "delivered": False,
    "result_hash": None,
    "result_size": 3,
}


def with_changes(**changes: object) -> Approval:
    return replace(ASKED, **changes)  # type: ignore[arg-type]


def in_state(state: State) -> str:
    return protected_hash(replace(ASKED, state=state))


@pytest.mark.parametrize(("field", "value"), OF_THE_APPROVAL.items(), ids=OF_THE_APPROVAL)
def test_any_field_of_an_approval_is_protected(field: str, value: object) -> None:
    assert getattr(ASKED, field) != value
    assert protected_hash(with_changes(**{field: value})) != protected_hash(ASKED)


@pytest.mark.parametrize(("field", "value"), OF_THE_CALL.items(), ids=OF_THE_CALL)
def test_who_asked_and_in_which_words_is_protected(field: str, value: object) -> None:
    other = replace(ASKED.call, **{field: value})  # type: ignore[arg-type]
    assert protected_hash(with_changes(call=other)) != protected_hash(ASKED)


@pytest.mark.parametrize(("field", "value"), THROUGH_THE_DIGEST.items(), ids=THROUGH_THE_DIGEST)
def test_what_would_run_is_protected_through_the_digest(field: str, value: object) -> None:
    other = replace(ASKED.call, **{field: value})  # type: ignore[arg-type]
    altered = with_changes(call=other, digest=digest(other, ASKED.requirement, revision=1))
    assert protected_hash(altered) != protected_hash(ASKED)


@pytest.mark.parametrize(("field", "value"), OF_A_STAGE.items(), ids=OF_A_STAGE)
def test_who_has_to_approve_is_protected(field: str, value: object) -> None:
    stage = replace(Stage(), **{field: value})  # type: ignore[arg-type]
    altered = with_changes(requirement=Requirement(stages=(stage,)))
    assert protected_hash(altered) != protected_hash(ASKED)


@pytest.mark.parametrize(("field", "value"), OF_A_REQUIREMENT.items(), ids=OF_A_REQUIREMENT)
def test_how_the_stages_are_asked_and_for_how_long_is_protected(field: str, value: object) -> None:
    other = replace(Requirement(), **{field: value})  # type: ignore[arg-type]
    assert getattr(Requirement(), field) != value
    assert protected_hash(with_changes(requirement=other)) != protected_hash(ASKED)


@pytest.mark.parametrize(
    "risk",
    [
        risk_of(Category.FINANCIAL, level=Level.LOW),
        risk_of(Category.FINANCIAL, why="x"),
        replace(ASKED.risk, category=Category.DESTRUCTIVE),
    ],
)
def test_the_risk_that_was_shown_is_protected(risk: object) -> None:
    assert protected_hash(with_changes(risk=risk)) != protected_hash(ASKED)


@pytest.mark.parametrize(("field", "value"), OF_A_DECISION.items(), ids=OF_A_DECISION)
def test_any_field_of_a_decision_is_protected(field: str, value: object) -> None:
    other = replace(SAID, **{field: value})  # type: ignore[arg-type]
    assert getattr(SAID, field) != value
    assert protected_hash(with_changes(decisions=(other,))) != protected_hash(
        with_changes(decisions=(SAID,))
    )


def test_what_was_hashed_before_does_not_change_a_hash() -> None:
    """0.5 and 0.50 are equal, and the row keeps how each was written."""
    made = [
        protected_hash(with_changes(requirement=Requirement(remind_at=(Decimal(words),))))
        for words in ("0.5", "0.50")
    ]
    assert made[0] != made[1]


def test_the_number_and_the_order_of_decisions_are_protected() -> None:
    second = replace(SAID, person="carol")
    hashes = {
        protected_hash(with_changes(decisions=given))
        for given in ((), (SAID,), (SAID, second), (second, SAID))
    }
    assert len(hashes) == 4


def test_every_state_has_a_hash_of_its_own() -> None:
    assert len({in_state(state) for state in STATES}) == len(STATES)


@pytest.mark.parametrize("field", ["decided_at", "use_from", "use_by"])
def test_the_window_of_use_is_protected_before_and_after_sending(field: str) -> None:
    moved = replace(APPROVED, **{field: getattr(APPROVED, field) + MOMENT})
    assert in_state(moved) != in_state(APPROVED)
    assert in_state(replace(SENT, approved=moved)) != in_state(SENT)


@pytest.mark.parametrize(
    "state",
    [state for state in STATES if isinstance(state, Denied | Overdue | Lapsed | Withdrawn)],
    ids=lambda state: type(state).__name__,
)
def test_the_moment_of_every_end_is_protected(
    state: Denied | Overdue | Lapsed | Withdrawn,
) -> None:
    assert in_state(replace(state, at=state.at + MOMENT)) != in_state(state)


@pytest.mark.parametrize(("field", "value"), OF_A_RELEASE.items(), ids=OF_A_RELEASE)
def test_any_field_of_a_release_is_protected(field: str, value: object) -> None:
    assert in_state(replace(SENT, **{field: value})) != in_state(SENT)  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "value"), OF_AN_OUTCOME.items(), ids=OF_AN_OUTCOME)
def test_how_a_release_ended_is_protected(field: str, value: object) -> None:
    other = replace(RAN, **{field: value})  # type: ignore[arg-type]
    assert in_state(replace(SENT, outcome=other)) != in_state(replace(SENT, outcome=RAN))


@pytest.mark.parametrize(("field", "value"), OF_A_DEFINITION.items(), ids=OF_A_DEFINITION)
def test_what_the_server_said_of_the_tool_is_protected(field: str, value: object) -> None:
    said = defined("d")
    other = replace(said, **{field: value})  # type: ignore[arg-type]
    assert getattr(said, field) != value
    hashes = {
        protected_hash(with_changes(call=replace(ASKED.call, definition=definition)))
        for definition in (None, said, other)
    }
    assert len(hashes) == 3


def test_the_head_of_the_stream_is_not_part_of_what_the_stream_protects() -> None:
    assert protected_hash(with_changes(head=Head(seq=9, hash="x"))) == protected_hash(ASKED)


def test_the_hash_does_not_need_the_arguments_so_that_they_can_be_erased() -> None:
    erased = replace(ASKED.call, arguments="{}")
    assert protected_hash(with_changes(call=erased)) == protected_hash(ASKED)


@pytest.mark.parametrize(
    ("kind", "tested"),
    [
        (Approval, {*OF_THE_APPROVAL, "call", "requirement", "risk", "head"}),
        (Call, {*OF_THE_CALL, *THROUGH_THE_DIGEST}),
        (Requirement, set(OF_A_REQUIREMENT)),
        (Stage, set(OF_A_STAGE)),
        (ToolDefinition, set(OF_A_DEFINITION)),
        (Decision, set(OF_A_DECISION)),
        (Released, {*OF_A_RELEASE, "approved"}),
        (Outcome, set(OF_AN_OUTCOME)),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_new_field_is_not_forgotten_here(kind: type, tested: set[str]) -> None:
    assert {field.name for field in fields(kind)} == tested


def test_one_canonical_text_is_hashed() -> None:
    """Whoever checks a row elsewhere hashes its facts as one canonical object."""
    found: list[str] = []

    def seen(text: str) -> str:
        found.append(text)
        return text

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(protected, "sha256", seen)
        for asked in (ASKED, replace(ASKED, detached=True, unnoticed=True)):
            protected.protected_hash(asked)
    for text in found:
        assert canonical(parse(text.encode())) == text
        assert {"agent", "argument_order", "version", "state"} <= json.loads(text).keys()
    assert len(found) == 2
