"""Enough people: judged over all stages at once, for every agent, before anything is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from approvals.config.eligibility import eligible_people
from approvals.config.load import load
from approvals.domain.directory import Agent, Directory, Person, Role
from approvals.domain.quorum import Requirement, Stage
from approvals.errors import ConfigurationInvalid

PEOPLE = {name: Person(name=name) for name in ("alice", "bob", "carol")}
AUDITOR = Person(name="dan", roles=frozenset({Role.AUDITOR}))
DIRECTORY = Directory(
    people={**PEOPLE, "dan": AUDITOR},
    groups={"trading": frozenset({"alice", "bob", "dan"}), "risk": frozenset({"bob", "carol"})},
)
BOT = Agent(name="bot", owner="alice", servers=frozenset())


def stage(*approvers: str, required: int = 1) -> Stage:
    return Stage(approvers=frozenset(approvers), required=required)


def test_only_approvers_are_eligible_and_the_owner_is_not() -> None:
    asked = Requirement(stages=(stage("group:trading"),))
    assert eligible_people(asked, DIRECTORY).stages == (frozenset({"alice", "bob"}),)
    assert eligible_people(asked, DIRECTORY, BOT).stages == (frozenset({"bob"}),)


def test_the_owner_counts_where_the_rule_says_so_and_when_alone() -> None:
    asked = Requirement(stages=(stage("everyone"),), exclude_owner=False)
    assert "alice" in eligible_people(asked, DIRECTORY, BOT).stages[0]
    solo = Directory(people={"alice": PEOPLE["alice"]})
    assert eligible_people(Requirement(), solo, BOT).enough


@pytest.mark.parametrize(
    ("stages", "enough"),
    [
        ((stage("group:trading"), stage("group:risk")), True),
        ((stage("person:bob"), stage("person:bob")), False),
        ((stage("group:risk", required=2), stage("person:bob")), False),
        ((stage("group:trading", required=2), stage("group:risk")), True),
        ((stage("group:trading", required=2), stage("group:risk", required=2)), False),
        ((stage("everyone"), stage("everyone"), stage("everyone")), True),
        ((stage("everyone", required=4),), False),
        ((stage("person:dan"),), False),
    ],
)
def test_a_person_counts_for_one_stage_only(stages: tuple[Stage, ...], *, enough: bool) -> None:
    assert eligible_people(Requirement(stages=stages), DIRECTORY).enough is enough


def test_people_who_join_after_an_escalation_do_not_count() -> None:
    asked = Stage(
        approvers=frozenset({"person:bob"}), required=2, escalates_to=frozenset({"everyone"})
    )
    assert not eligible_people(Requirement(stages=(asked,)), DIRECTORY).enough


FILE = """\
servers:
  x: {url: 'https://h/', policy: p.yaml}
  y: {url: 'https://h/'}
agents:
  mine: {servers: [x], owner: alice}
  ours: {servers: {x: }, owner: bob}
  own: {servers: {x: {policy: own.yaml}}, owner: bob}
people: {alice: , bob: , carol: {roles: [admin]}}
"""
POLICY = """\
version: "1"
default: allow
tools:
  t: {require_approval_if: [{conditions: [], approval: {APPROVAL}}]}
"""
ALLOWS = 'version: "1"\ndefault: allow\n'


def problems(folder: Path, policy: str, own: str = ALLOWS, text: str = FILE) -> list[str]:
    (folder / "p.yaml").write_text(policy)
    (folder / "own.yaml").write_text(own)
    path = folder / "approvals.yaml"
    path.write_text(text)
    try:
        load(path, starting_person=None, environ={})
    except ConfigurationInvalid as error:
        return [problem.removeprefix(f"{folder}/") for problem in error.problems]
    return []


def asking(approval: str) -> str:
    return POLICY.replace("{APPROVAL}", f"{{{approval}}}")


def test_one_of_two_approvers_is_enough_though_each_owns_an_agent(tmp_path: Path) -> None:
    assert problems(tmp_path, asking("required: 1")) == []


def test_each_agent_for_which_people_are_short_is_named_in_the_file_of_the_policy(
    tmp_path: Path,
) -> None:
    assert problems(tmp_path, asking("required: 2")) == [
        f"p.yaml, line 4: /tools/t/require_approval_if/0: asks for 2, and 1 may answer for "
        f"{agent}, whose owner {owner} does not count; name more people or lower `required`"
        for agent, owner in (("mine", "alice"), ("ours", "bob"))
    ]


def test_a_rule_that_counts_the_owner_is_enough_with_all_approvers(tmp_path: Path) -> None:
    assert problems(tmp_path, asking("required: 2, exclude_owner: false")) == []


def test_stages_that_need_more_different_people_than_there_are_do_not_load(
    tmp_path: Path,
) -> None:
    [problem] = problems(
        tmp_path,
        asking("stages: [{approvers: ['person:bob']}, {approvers: ['person:bob']}]"),
    )
    assert "asks for 2 different people in 2 stages, and the 1 who may answer" in problem


def test_a_stage_is_called_by_its_name(tmp_path: Path) -> None:
    [problem] = problems(
        tmp_path, asking("stages: [{name: risk, approvers: [everyone], required: 3}]")
    )
    assert "asks for 3 in stage risk, and 2 may answer; name more" in problem


def test_an_agent_with_a_policy_of_its_own_is_judged_by_that_one_only(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, ALLOWS, own=asking("approvers: ['person:bob']"))
    assert problem.startswith("own.yaml, line 4: /tools/t/require_approval_if/0: asks for 1, and 0")
    assert "for own, whose owner bob" in problem


def test_rules_for_all_tools_count_where_unlisted_tools_are_allowed(tmp_path: Path) -> None:
    every = "all_tools: {require_approval_if: [{conditions: [], approval: {required: 3}}]}\n"
    [problem] = problems(tmp_path, ALLOWS + every)
    assert problem.startswith("p.yaml, line 3: /all_tools/require_approval_if/0: asks for 3")
    assert problems(tmp_path, ALLOWS.replace("allow", "deny") + every) == []


def test_the_built_in_policy_needs_enough_people_too(tmp_path: Path) -> None:
    text = FILE + "approval: {approvers: ['person:alice']}\n"
    text = text.replace("mine: {servers: [x]", "mine: {servers: [y]")
    [problem] = problems(tmp_path, ALLOWS, text=text)
    assert problem.startswith(
        "approvals.yaml, line 3: /servers/y/policy: the built-in policy asks for 1, and 0 may"
    )


def test_everybody_named_anywhere_in_a_policy_must_exist(tmp_path: Path) -> None:
    policy = asking(
        "stages: [{approvers: ['group:a']}], escalate: {after: 1m, approvers: ['person:b']}"
    )
    policy = policy.replace("default: allow", "default: allow\napproval: {approvers: ['person:c']}")
    policy = policy.replace("  t: {", "  t: {approval: {approvers: [everyone, 'person:d']}, ")
    found = problems(tmp_path, policy)
    for pointer, name in [
        ("/approval/approvers/0", "person:c"),
        ("/tools/t/approval/approvers/1", "person:d"),
        ("/tools/t/require_approval_if/0/approval/stages/0/approvers/0", "group:a"),
        ("/tools/t/require_approval_if/0/approval/escalate/approvers/0", "person:b"),
    ]:
        assert any(
            f": {pointer}: names {name}, which approvals.yaml does not have among its" in p
            for p in found
        ), found
    assert len(found) == 4


def test_without_any_people_nobody_is_missed(tmp_path: Path) -> None:
    text = FILE.replace("people:", "#").replace(", owner: alice", "").replace(", owner: bob", "")
    assert problems(tmp_path, asking("approvers: ['group:a'], required: 9"), text=text) == []
