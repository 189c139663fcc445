"""Who exists, and whom an approver name means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from approvals.domain.directory import (
    Agent,
    Assurance,
    Directory,
    Person,
    Role,
    approver_title,
    title,
)
from tests.domain.builders import PEOPLE


@pytest.mark.parametrize(
    ("approver", "meant"),
    [
        ("everyone", {"alice", "bob", "carol"}),
        ("group:trading", {"alice", "bob", "carol"}),
        ("group:nobody", set()),
        ("person:bob", {"bob"}),
        ("person:mallory", set()),
        ("bob", set()),
        ("robot:bob", set()),
        ("group:bob", set()),
    ],
)
def test_an_approver_name_means_exactly_these_people(approver: str, meant: set[str]) -> None:
    assert PEOPLE.eligible(frozenset({approver})) == meant


def test_several_names_mean_everybody_any_of_them_means() -> None:
    assert PEOPLE.eligible(frozenset({"person:alice", "person:bob"})) == {"alice", "bob"}
    assert PEOPLE.eligible(frozenset()) == frozenset()


def test_who_is_no_approver_is_never_meant() -> None:
    assert not PEOPLE.names("dan", frozenset({"person:dan", "everyone"}))


def test_a_group_member_who_is_not_in_the_file_is_never_meant() -> None:
    stale = Directory(people={"alice": Person(name="alice")}, groups={"x": frozenset({"ghost"})})
    assert not stale.names("ghost", frozenset({"group:x", "everyone"}))


def test_solo_means_exactly_one_person() -> None:
    alice = Person(name="alice")
    assert not Directory().solo
    assert Directory(people={"alice": alice}).solo
    assert not PEOPLE.solo


def test_a_person_is_an_approver_unless_the_roles_say_otherwise() -> None:
    assert Person(name="alice").is_approver
    assert not Person(name="dan", roles=frozenset({Role.ADMIN, Role.AUDITOR})).is_approver


def test_assurance_is_ordered_weakest_first() -> None:
    assert [level.word for level in sorted(Assurance)] == ["slack", "key", "web", "web_mfa"]


@pytest.mark.parametrize(("name", "shown"), [("alice", "Alice"), ("élodie", "Élodie"), ("", "")])
def test_a_name_is_shown_with_a_capital(name: str, shown: str) -> None:
    assert title(name) == shown


@pytest.mark.parametrize(
    ("approver", "shown"),
    [("group:trading", "trading"), ("person:alice", "Alice"), ("everyone", "everyone")],
)
def test_an_approver_is_shown_without_its_kind(approver: str, shown: str) -> None:
    assert approver_title(approver) == shown


def test_an_agent_that_a_person_wraps_exists_by_its_name_and_owner() -> None:
    wrapped = PEOPLE.agent("git@bob")
    assert wrapped is not None
    assert (wrapped.owner, wrapped.servers) == ("bob", frozenset({"git"}))
    assert PEOPLE.agent("trader-bot") is PEOPLE.agents["trader-bot"]


@pytest.mark.parametrize("name", ["git@mallory", "git@", "@bob", "git", "a b@bob", "git@bob@bob"])
def test_any_other_name_is_no_agent(name: str) -> None:
    assert PEOPLE.agent(name) is None


def test_an_agent_of_the_file_comes_before_one_by_name() -> None:
    named = Agent(name="git@bob", owner="alice", servers=frozenset({"exchange"}))
    assert replace(PEOPLE, agents={"git@bob": named}).agent("git@bob") is named


def test_a_slack_member_is_the_person_whom_the_file_binds_to_it() -> None:
    bob = Person(name="bob", slack="U0BOB")
    people = Directory(people={"alice": Person(name="alice"), "bob": bob})
    assert people.by_slack("U0BOB") == bob
    assert people.by_slack("U0ALICE") is None
