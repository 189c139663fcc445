"""Approval settings: said at four places, the nearest wins key by key."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal

import pytest

from approvals.domain.directory import Assurance
from approvals.domain.policy.read_settings import read_approval
from approvals.domain.policy.reading import Place, Problems
from approvals.domain.policy.settings import ApprovalSettings, Escalation, merged
from approvals.domain.quorum import Gone, Requirement, Stage
from approvals.domain.strictjson import Json, Number
from tests.domain.policies import ALWAYS, asked, document, policy, problems

TRADING = frozenset({"group:trading"})
BOB = frozenset({"person:bob"})
TWO_STAGES: Json = [
    {"name": "desk", "approvers": ["group:trading"], "required": 2, "deny_threshold": 2},
    {"name": "risk", "approvers": ["person:bob"], "min_assurance": "web_mfa"},
]

# For every key: a value, another value, and what of the requirement shows the first one.
KEYS: dict[str, tuple[Json, Json, dict[str, object]]] = {
    "approvers": (["group:trading"], ["person:bob"], {"stages": (Stage(approvers=TRADING),)}),
    "required": (2, 3, {"stages": (Stage(required=2),)}),
    "stages": (
        [{"approvers": ["group:trading"]}],
        [{"approvers": ["person:bob"]}],
        {"stages": (Stage(approvers=TRADING),)},
    ),
    "ordered": (True, False, {"ordered": True}),
    "exclude_owner": (False, True, {"exclude_owner": False}),
    "timeout": ("30m", "1h", {"timeout": timedelta(minutes=30)}),
    "use_within": ("1m", "2m", {"use_within": timedelta(minutes=1)}),
    "release_delay": ("0s", "10s", {"release_delay": timedelta(0)}),
    "deny_memory": ("0s", "1m", {"deny_memory": timedelta(0)}),
    "remind_at": (
        [Number("0.9"), Number("0.1")],
        [],
        {"remind_at": (Decimal("0.1"), Decimal("0.9"))},
    ),
    "escalate": (
        {"after": "5m", "approvers": ["person:bob"], "channels": ["log"]},
        {"after": "6m", "approvers": ["everyone"]},
        {
            "stages": (Stage(escalates_to=BOB),),
            "escalate_after": timedelta(minutes=5),
            "escalate_channels": ("log",),
        },
    ),
    "max_timeout": ("2h", "3h", {"max_timeout": timedelta(hours=2)}),
    "on_requester_gone": ("cancel", "keep", {"on_requester_gone": Gone.CANCEL}),
    "detached": (True, False, {"detached": True}),
    "channels": (["log", "slack:#a", "log"], ["webhook:b"], {"channels": ("log", "slack:#a")}),
    "name_approvers": (True, False, {"name_approvers": True}),
    "allow_input": (True, False, {"allow_input": True}),
}


def said(rule: Json = None, tool: Json = None, top: Json = None, file: Json = None) -> Requirement:
    """What is asked when settings are said at these four places."""
    entry: dict[str, Json] = {"require_approval_if": [{**ALWAYS, **_approval(rule)}]}
    behind = ApprovalSettings()
    if file is not None:
        behind = _read_file(file)
    return asked(policy({**entry, **_approval(tool)}, fallback=behind, **_approval(top)))


def _approval(settings: Json) -> dict[str, Json]:
    return {} if settings is None else {"approval": settings}


def _read_file(settings: Json) -> ApprovalSettings:
    found = Problems()
    read = read_approval(Place(settings, "/approval", found))
    assert found.found == []
    return read


def test_every_key_is_tried() -> None:
    assert set(KEYS) == {field.name for field in fields(ApprovalSettings)}


@pytest.mark.parametrize(("key", "places"), [(key, place) for key in KEYS for place in range(4)])
def test_a_key_is_taken_from_the_nearest_place_that_says_it(key: str, places: int) -> None:
    near, far, shown = KEYS[key]
    levels: list[Json] = [*[None] * places, {key: near}, *[{key: far}] * (3 - places)]
    assert said(*levels) == replace(Requirement(), **shown)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [key for key in KEYS if key not in {"approvers", "required"}])
def test_a_key_that_a_nearer_place_does_not_say_is_taken_from_farther(key: str) -> None:
    near, _, shown = KEYS[key]
    other: dict[str, Json] = {"use_within": "3m"} if key != "use_within" else {"timeout": "3m"}
    requirement = said(other, None, {key: near})
    assert all(getattr(requirement, name) == value for name, value in shown.items())


def test_without_any_setting_everyone_is_asked_for_fifteen_minutes() -> None:
    assert said() == Requirement()
    assert Requirement() == Requirement(
        stages=(Stage(approvers=frozenset({"everyone"}), required=1, deny_threshold=1),),
        timeout=timedelta(minutes=15),
        use_within=timedelta(minutes=5),
        release_delay=timedelta(0),
        deny_memory=timedelta(minutes=5),
        remind_at=(Decimal("0.5"), Decimal("0.8")),
        max_timeout=timedelta(hours=24),
        exclude_owner=True,
    )


def test_every_key_of_a_stage_is_read() -> None:
    assert said({"stages": TWO_STAGES, "ordered": True}).stages == (
        Stage(name="desk", approvers=TRADING, required=2, deny_threshold=2),
        Stage(name="risk", approvers=BOB, assurance=Assurance.WEB_MFA),
    )


def test_approvers_and_required_of_two_places_are_put_together() -> None:
    requirement = said({"required": 2}, {"required": 3}, {"approvers": ["group:trading"]})
    assert requirement.stages == (Stage(approvers=TRADING, required=2),)


def test_nearer_stages_replace_a_farther_short_form() -> None:
    requirement = said({"stages": TWO_STAGES}, None, {"approvers": ["everyone"], "required": 3})
    assert [stage.name for stage in requirement.stages] == ["desk", "risk"]


def test_a_nearer_short_form_replaces_farther_stages_if_it_says_both_keys() -> None:
    whole: Json = {"approvers": ["person:bob"], "required": 1}
    assert said(whole, None, {"stages": TWO_STAGES}).stages == (Stage(approvers=BOB),)


@pytest.mark.parametrize("half", [{"approvers": ["everyone"]}, {"required": 1}])
@pytest.mark.parametrize("stages_at", ["tool", "policy", "file"])
def test_half_a_short_form_over_stages_is_refused(half: Json, stages_at: str) -> None:
    staged: Json = {"stages": TWO_STAGES}
    entry: dict[str, Json] = {"require_approval_if": [{**ALWAYS, "approval": half}]}
    top: dict[str, Json] = {}
    behind = _read_file(staged) if stages_at == "file" else ApprovalSettings()
    if stages_at == "tool":
        entry["approval"] = staged
    elif stages_at == "policy":
        top["approval"] = staged
    (problem,) = problems(document(entry, **top), fallback=behind)
    assert problem.startswith("/tools/t/require_approval_if/0: gets `stages` from a farther place")


@pytest.mark.parametrize("after", ["5m", "6m"])
def test_an_escalation_after_the_timeout_beside_it_would_never_come(after: str) -> None:
    escalate: Json = {"after": after, "approvers": ["everyone"]}
    settings: Json = {"timeout": "5m", "escalate": escalate}
    assert problems(document({"action": "require_approval", "approval": settings})) == (
        "/tools/t/approval/escalate: comes after the timeout, so never; make `after` shorter",
    )


def test_settings_that_say_nothing_change_nothing() -> None:
    behind = ApprovalSettings(required=2, stages=None)
    assert merged([ApprovalSettings(), behind, ApprovalSettings()]) == behind
    assert merged([]) == ApprovalSettings()


def test_what_was_replaced_is_gone_and_does_not_come_back() -> None:
    stages = ApprovalSettings(stages=(Stage(name="desk"),))
    short = ApprovalSettings(approvers=TRADING, required=2)
    assert merged([stages, short]) == stages
    assert merged([short, stages]) == short
    assert merged([stages, short, stages]) == stages


def test_an_escalation_joins_every_stage() -> None:
    settings = ApprovalSettings(
        stages=(Stage(name="a"), Stage(name="b", approvers=TRADING)),
        escalate=Escalation(after=timedelta(minutes=1), approvers=BOB),
    )
    assert {stage.escalates_to for stage in settings.requirement().stages} == {BOB}


def test_reminders_are_sorted_said_once_and_may_be_none() -> None:
    twice: list[Json] = [Number("0.5"), Number("0.50"), Number("0.1")]
    assert said({"remind_at": twice}).remind_at == (Decimal("0.1"), Decimal("0.5"))
    assert said({"remind_at": []}).remind_at == ()


@pytest.mark.parametrize(
    ("settings", "places"),
    [
        ("trading", ["/approval"]),
        ({"allow_edit": True}, ["/approval/allow_edit"]),
        ({"stages": TWO_STAGES, "required": 1}, ["/approval/stages"]),
        ({"stages": TWO_STAGES, "approvers": ["everyone"]}, ["/approval/stages"]),
        ({"stages": []}, ["/approval/stages"]),
        ({"stages": {}}, ["/approval/stages"]),
        ({"stages": [1]}, ["/approval/stages/0"]),
        ({"stages": [{}]}, ["/approval/stages/0/approvers"]),
        ({"stages": [{"approvers": ["everyone"], "required": 0}]}, ["/approval/stages/0/required"]),
        (
            {"stages": [{"approvers": ["everyone"], "deny_threshold": 0, "min_assurance": "sms"}]},
            ["/approval/stages/0/min_assurance", "/approval/stages/0/deny_threshold"],
        ),
        (
            {"stages": [{"approvers": ["everyone"], "name": "a"}] * 2},
            ["/approval/stages/0/name", "/approval/stages/1/name"],
        ),
        ({"ordered": "yes"}, ["/approval/ordered"]),
        ({"exclude_owner": 0}, ["/approval/exclude_owner"]),
        ({"use_within": "0s"}, ["/approval/use_within"]),
        ({"release_delay": "0m"}, ["/approval/release_delay"]),
        ({"deny_memory": 0}, ["/approval/deny_memory"]),
        ({"max_timeout": "8d"}, ["/approval/max_timeout"]),
        ({"remind_at": 0}, ["/approval/remind_at"]),
        (
            {"remind_at": [0, 1, "0.5", Number("0.5"), True]},
            [
                "/approval/remind_at/0",
                "/approval/remind_at/1",
                "/approval/remind_at/2",
                "/approval/remind_at/4",
            ],
        ),
        ({"remind_at": [Number(f"0.{n}") for n in range(10, 21)]}, ["/approval/remind_at"]),
        (
            {"escalate": "10m"},
            [
                "/approval/escalate",
            ],
        ),
        ({"escalate": {}}, ["/approval/escalate/after", "/approval/escalate/approvers"]),
        (
            {"escalate": {"after": "x", "approvers": [], "channels": ["mail"], "who": 1}},
            [
                "/approval/escalate/who",
                "/approval/escalate/after",
                "/approval/escalate/approvers",
            ],
        ),
        ({"on_requester_gone": "stop"}, ["/approval/on_requester_gone"]),
        ({"channels": []}, ["/approval/channels"]),
        ({"channels": "log"}, ["/approval/channels"]),
        (
            {"channels": ["Mail:x", "slack:", "webhook: ", "slack", 5, "log"]},
            [f"/approval/channels/{index}" for index in range(5)],
        ),
        ({"name_approvers": "no"}, ["/approval/name_approvers"]),
        ({"allow_input": None}, ["/approval/allow_input"]),
        ({"detached": 1}, ["/approval/detached"]),
    ],
)
def test_wrong_settings_are_refused_at_their_place(settings: Json, places: list[str]) -> None:
    found = [problem.partition(": ")[0] for problem in problems(document(None, approval=settings))]
    assert list(dict.fromkeys(found)) == places
