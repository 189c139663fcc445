"""Who may decide, judged at the moment of deciding."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from approvals.domain.directory import Agent, Assurance, Directory, Person, Role
from approvals.domain.quorum import Requirement, Stage
from approvals.domain.rights import Rights, may_cancel, owner_line, rights_of, why_not
from approvals.domain.states import Answer
from approvals.errors import AssuranceTooLow, NotAnApprover, OwnerExcluded
from tests.domain.builders import PEOPLE, approval, call

if TYPE_CHECKING:
    from approvals.domain.states import Approval

SOLO = Directory(people={"alice": Person(name="alice")}, agents=PEOPLE.agents)
THREE = Requirement(
    stages=(
        Stage(approvers=frozenset({"group:trading"})),
        Stage(approvers=frozenset({"person:bob"}), assurance=Assurance.WEB),
        Stage(approvers=frozenset({"person:carol"})),
    )
)


def judged(
    person: str,
    asked: Approval,
    assurance: Assurance = Assurance.KEY,
    answer: Answer = Answer.APPROVE,
) -> Rights:
    return rights_of(person, assurance, asked, PEOPLE, answer=answer)


def now_owned_by(owner: str) -> Directory:
    agent = Agent(name="trader-bot", owner=owner, servers=frozenset({"exchange"}))
    return replace(PEOPLE, agents={"trader-bot": agent})


def test_a_person_counts_for_every_stage_that_means_them() -> None:
    asked = approval(THREE)
    assert judged("bob", asked, Assurance.WEB) == Rights(stages=frozenset({0, 1}), solo=False)
    assert judged("carol", asked) == Rights(stages=frozenset({0, 2}), solo=False)


def test_a_stage_that_asks_for_stronger_sign_in_does_not_count() -> None:
    assert judged("bob", approval(THREE)).stages == {0}


def test_the_weakest_sign_in_that_would_do_is_named() -> None:
    stages = tuple(Stage(assurance=level) for level in (Assurance.WEB_MFA, Assurance.WEB))
    asked = approval(Requirement(stages=stages))
    with pytest.raises(AssuranceTooLow) as refused:
        judged("bob", asked, Assurance.KEY)
    assert str(refused.value) == "This call is decided with web sign-in or stronger."
    assert judged("bob", asked, Assurance.WEB).stages == {1}


@pytest.mark.parametrize("person", ["dan", "mallory", "trader-bot", ""])
def test_nobody_else_may_decide(person: str) -> None:
    with pytest.raises(NotAnApprover):
        judged(person, approval())


def test_an_approver_whom_no_stage_means_may_not_decide() -> None:
    asked = approval(Requirement(stages=(Stage(approvers=frozenset({"person:carol"})),)))
    with pytest.raises(NotAnApprover):
        judged("bob", asked)


@pytest.mark.parametrize("answer", Answer)
def test_the_owner_may_not_decide_on_the_calls_of_the_agent(answer: Answer) -> None:
    with pytest.raises(OwnerExcluded) as refused:
        judged("alice", approval(), answer=answer)
    assert str(refused.value) == (
        "You own trader-bot, so somebody else has to decide on its calls."
    )


def test_a_reload_lets_neither_the_old_nor_the_new_owner_slip_through() -> None:
    for owner in ("alice", "bob"):
        with pytest.raises(OwnerExcluded):
            rights_of(owner, Assurance.KEY, approval(), now_owned_by("bob"), answer=Answer.APPROVE)


def test_the_owner_of_an_agent_that_is_gone_is_still_excluded() -> None:
    with pytest.raises(OwnerExcluded):
        rights_of(
            "alice",
            Assurance.KEY,
            approval(),
            replace(PEOPLE, agents={}),
            answer=Answer.DENY,
        )


def test_the_owner_may_decide_where_the_rule_says_so() -> None:
    asked = approval(Requirement(exclude_owner=False))
    assert judged("alice", asked) == Rights(stages=frozenset({0}), solo=False)


def test_the_only_person_may_decide_and_that_is_recorded() -> None:
    rights = rights_of("alice", Assurance.KEY, approval(), SOLO, answer=Answer.APPROVE)
    assert rights == Rights(stages=frozenset({0}), solo=True)


def test_the_only_person_does_not_decide_as_owner_on_the_agent_of_somebody_gone() -> None:
    only_bob = Directory(people={"bob": Person(name="bob")})
    rights = rights_of("bob", Assurance.KEY, approval(), only_bob, answer=Answer.APPROVE)
    assert not rights.solo


def test_the_reason_why_not_is_given_as_a_value() -> None:
    assert isinstance(why_not("alice", Assurance.KEY, approval(), PEOPLE), OwnerExcluded)
    assert isinstance(why_not("dan", Assurance.KEY, approval(), PEOPLE), NotAnApprover)
    assert why_not("bob", Assurance.KEY, approval(), PEOPLE) is None


@pytest.mark.parametrize(
    ("person", "may"),
    [("alice", True), ("bob", False), ("carol", True), ("dan", False), ("mallory", False)],
)
def test_an_admin_and_the_owner_may_withdraw_a_call(person: str, may: bool) -> None:
    assert may_cancel(person, approval(), PEOPLE) is may


def test_an_owner_who_left_may_not_withdraw_a_call() -> None:
    asked = approval(call=call(owner="mallory"))
    assert not may_cancel("mallory", asked, PEOPLE)


def test_an_admin_without_the_role_approver_may_withdraw_and_not_decide() -> None:
    boss = Person(name="boss", roles=frozenset({Role.ADMIN}))
    people = replace(PEOPLE, people={**PEOPLE.people, "boss": boss})
    assert may_cancel("boss", approval(), people)
    assert isinstance(why_not("boss", Assurance.WEB_MFA, approval(), people), NotAnApprover)


def test_the_card_says_when_the_owner_rule_does_not_hold() -> None:
    open_to_owner = approval(Requirement(exclude_owner=False))
    assert owner_line(approval(), PEOPLE) == ""
    assert owner_line(approval(), SOLO) == (
        "Solo mode: one person exists, so the owner may decide."
    )
    assert owner_line(open_to_owner, PEOPLE) == (
        "This rule lets Alice, who owns the agent, decide."
    )
