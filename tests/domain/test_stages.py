"""Several stages: in any order or one after the other, and who counts where at which moment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from approvals.domain.approval import decide, escalate
from approvals.domain.directory import Assurance, Directory, Person
from approvals.domain.quorum import Requirement, Stage
from approvals.domain.rights import Rights, may_steer, rights_of, why_not
from approvals.domain.states import Answer, Approval, Status
from approvals.errors import AssuranceTooLow, NotAnApprover
from tests.domain.builders import MINUTE, NOON, PEOPLE, approval, decision

LATER = NOON + MINUTE
DESK = Stage(name="desk", approvers=frozenset({"group:desk"}))
RISK = Stage(name="risk", approvers=frozenset({"group:risk"}))
BOTH = Requirement(stages=(DESK, RISK))
ORDERED = replace(BOTH, ordered=True)
NAMES = ("alice", "bob", "carol", "erin")
OFFICE = Directory(
    people={name: Person(name=name) for name in NAMES},
    groups={"desk": frozenset({"bob", "carol"}), "risk": frozenset({"carol", "erin"})},
    agents=PEOPLE.agents,
)


def rights(
    person: str,
    asked: Approval,
    answer: Answer = Answer.APPROVE,
    assurance: Assurance = Assurance.KEY,
) -> Rights:
    return rights_of(person, assurance, asked, OFFICE, answer=answer)


def after(asked: Approval, *people: str, answer: Answer = Answer.APPROVE) -> Approval:
    """What is left once these people have answered one after the other, each by its rights."""
    for number, person in enumerate(people):
        stages = rights(person, asked, answer).stages
        said = decision(person, answer, of=asked, stages=stages)
        step = decide(asked, said, now=LATER, event_id=f"evt_{number}")
        assert step is not None
        asked = step.after
    return asked


@pytest.mark.parametrize(
    ("people", "status"),
    [
        (("bob",), Status.PENDING),
        (("carol",), Status.PENDING),
        (("bob", "carol"), Status.APPROVED),
        (("carol", "bob"), Status.APPROVED),
        (("carol", "erin"), Status.APPROVED),
        (("erin", "bob"), Status.APPROVED),
    ],
)
def test_stages_may_be_answered_in_any_order_by_different_people(
    people: tuple[str, ...], status: Status
) -> None:
    assert after(approval(BOTH), *people).status is status


def test_unordered_stages_are_everybodys_turn_at_once() -> None:
    assert approval(BOTH).stages_to_approve == {0, 1}


def test_of_ordered_stages_only_the_first_that_is_not_reached_is_asked() -> None:
    asked = approval(ORDERED)
    assert asked.stages_to_approve == {0}
    assert after(asked, "bob").stages_to_approve == {0, 1}
    assert after(asked, "bob", "erin").stages_to_approve == {0, 1}


def test_who_belongs_to_a_later_stage_waits_for_the_first() -> None:
    asked = approval(ORDERED)
    with pytest.raises(NotAnApprover) as refused:
        rights("erin", asked)
    assert str(refused.value) == "Others have to approve this call before you."
    assert isinstance(why_not("erin", Assurance.KEY, asked, OFFICE), NotAnApprover)
    assert rights("erin", after(asked, "bob")).stages == {1}


def test_a_first_stage_that_needs_two_holds_the_second_until_both_have_approved() -> None:
    asked = approval(Requirement(stages=(replace(DESK, required=2), RISK), ordered=True))
    half = after(asked, "bob")
    assert half.stages_to_approve == {0}
    assert rights("carol", half).stages == {0, 1}
    with pytest.raises(NotAnApprover, match="before you"):
        rights("erin", half)
    assert after(half, "carol").stages_to_approve == {0, 1}
    assert after(half, "carol", "erin").status is Status.APPROVED


def test_a_person_of_two_stages_counts_for_the_one_whose_turn_it_is() -> None:
    asked = approval(ORDERED)
    assert after(asked, "carol").tally.approved == (1, 0)
    assert after(asked, "bob", "carol").status is Status.APPROVED


def test_nobody_has_to_answer_ordered_stages_in_a_lucky_order() -> None:
    few = replace(OFFICE, groups={**OFFICE.groups, "risk": frozenset({"carol"})})
    asked = approval(ORDERED)
    for number, person in enumerate(("carol", "bob")):  # carol alone can fill the second stage
        found = rights_of(person, Assurance.KEY, asked, few, answer=Answer.APPROVE)
        said = decision(person, of=asked, stages=found.stages)
        step = decide(asked, said, now=LATER, event_id=f"evt_{number}")
        assert step is not None
        asked = step.after
    assert asked.status is Status.APPROVED


def test_a_stronger_sign_in_lets_an_earlier_approval_count_for_more() -> None:
    strict = Requirement(stages=(DESK, replace(RISK, assurance=Assurance.WEB)))
    asked = after(approval(strict), "carol", "bob")  # by key both count for the desk alone
    stages = rights("carol", asked, assurance=Assurance.WEB).stages
    again = replace(decision("carol", of=asked, stages=stages), assurance=Assurance.WEB)
    step = decide(asked, again, now=LATER, event_id="evt_9")
    assert step is not None
    assert step.after.status is Status.APPROVED


def test_a_denial_counts_in_every_stage_at_any_time() -> None:
    asked = approval(ORDERED)
    assert rights("erin", asked, Answer.DENY).stages == {1}
    assert rights("carol", asked, Answer.DENY).stages == {0, 1}
    assert after(asked, "erin", answer=Answer.DENY).status is Status.DENIED


def test_a_stage_with_a_deny_threshold_takes_that_many_denials() -> None:
    asked = approval(Requirement(stages=(replace(DESK, deny_threshold=2), RISK)))
    once = after(asked, "bob", answer=Answer.DENY)
    assert once.status is Status.PENDING
    assert after(once, "carol", answer=Answer.DENY).status is Status.DENIED
    assert after(approval(asked.requirement), "carol", answer=Answer.DENY).status is Status.DENIED


def test_who_joins_by_an_escalation_may_decide_then_and_not_before() -> None:
    stage = replace(DESK, escalates_to=frozenset({"person:erin"}))
    asked = approval(Requirement(stages=(stage,), escalate_after=5 * MINUTE))
    with pytest.raises(NotAnApprover):
        rights("erin", asked)
    more = escalate(asked, actor="service", now=LATER, event_id="evt_1").after
    assert rights("erin", more).stages == {0}
    assert rights("bob", more).stages == {0}
    assert after(more, "erin").status is Status.APPROVED


@pytest.mark.parametrize("assurance", Assurance)
def test_a_call_with_hidden_values_is_approved_on_the_web_and_denied_anywhere(
    assurance: Assurance,
) -> None:
    asked = approval(hidden=("/symbol",))
    assert rights("bob", asked, Answer.DENY, assurance).stages == {0}
    if assurance >= Assurance.WEB:
        assert rights("bob", asked, assurance=assurance).stages == {0}
        return
    with pytest.raises(AssuranceTooLow) as refused:
        rights("bob", asked, assurance=assurance)
    assert str(refused.value) == (
        "Some values of this call are hidden here, so it cannot be approved here; it can be denied."
    )


@pytest.mark.parametrize(
    ("person", "may"),
    [("bob", True), ("carol", True), ("alice", False), ("dan", False), ("mallory", False)],
)
def test_who_may_decide_or_is_an_admin_may_extend_escalate_and_revoke(
    person: str, may: bool
) -> None:
    asked = approval(Requirement(stages=(Stage(approvers=frozenset({"person:bob"})),)))
    assert may_steer(person, Assurance.KEY, asked, PEOPLE) is may


def test_who_belongs_to_a_later_stage_may_steer_before_its_turn() -> None:
    assert may_steer("erin", Assurance.KEY, approval(ORDERED), OFFICE)


def test_a_sign_in_that_suffices_for_a_later_stage_only_does_not_come_before_its_turn() -> None:
    strict = Requirement(stages=(replace(DESK, assurance=Assurance.WEB), RISK), ordered=True)
    with pytest.raises(AssuranceTooLow):
        rights("carol", approval(strict))  # by key she could count for the second stage alone
