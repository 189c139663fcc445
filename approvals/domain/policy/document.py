"""Read a policy document: a Policy, or every problem at once, each with its JSON pointer."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from approvals.domain.digest import sha256
from approvals.domain.policy.model import ApprovalSettings, Policy, Rule, Ruling, ToolPolicy
from approvals.domain.policy.reading import Place, Problems, read_approval
from approvals.domain.risk import LEVEL_OF, Category, Level, Risk, risk_of
from approvals.domain.strictjson import Json, canonical
from approvals.domain.summary import PLACEHOLDER
from approvals.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDS_APPROVAL = "requires human approval"
ALIKE = 0.8

_TOP = ("version", "default", "hide", "tools", "approval")
_TOOL = (
    "deny_if",
    "require_approval_if",
    "action",
    "reason",
    "approval",
    "summary",
    "risk",
)


def read_policy(document: Json, *, source: str, fallback: ApprovalSettings | None = None) -> Policy:
    """Read a published or hand-written policy.

    Raises ConfigurationInvalid naming every unknown key, wrong type and missing value; a document
    that is wrong anywhere gives no policy at all.
    """
    problems = Problems()
    policy = policy_at(Place(document, "", problems), fallback=fallback or ApprovalSettings())
    if problems.found:
        raise ConfigurationInvalid(source, [str(problem) for problem in problems.found])
    return policy


def asks_for_approval(on_deny: str) -> bool:
    """Whether a published `on_deny` means "ask a person"; case, spaces, full stop do not matter."""
    return " ".join(on_deny.casefold().split()).rstrip(". ") == NEEDS_APPROVAL


def policy_at(top: Place, *, fallback: ApprovalSettings) -> Policy:
    """Read a policy inside another document; problems go where that document's do."""
    top.only(_TOP)
    version = top.child("version")
    if version.value != "1":
        version.wrong('must be the text "1"')
    tools = {
        name: _tool(place)
        for name, place in top.child("tools").members()
        if _is_exact_name(name, place)
    }
    return Policy(
        hash=sha256(canonical(top.value)),
        default=_default(top.child("default")),
        hide=tuple(top.child("hide").texts()),
        tools=tools,
        approval=read_approval(top.child("approval")),
        fallback=fallback,
    )


def _default(place: Place) -> Ruling:
    chosen = place.one_of((Ruling.ALLOW, Ruling.DENY), required=True)
    return Ruling(chosen or Ruling.DENY)


def _is_exact_name(name: str, place: Place) -> bool:
    if not name:
        place.wrong("is no tool name")
    elif "*" in name:
        place.wrong("tool names with * are not read yet; list each tool")
    return bool(name) and "*" not in name


def _tool(place: Place) -> ToolPolicy:
    place.only(_TOOL)
    denials, approvals = _deny_if(place.child("deny_if"))
    approvals += [_approval_rule(p) for p in place.child("require_approval_if").items()]
    action = place.child("action").one_of((Ruling.ALLOW, Ruling.DENY, Ruling.REQUIRE_APPROVAL))
    reason = place.child("reason").text() or ""
    if place.child("reason").exists and not place.child("action").exists:
        place.child("reason").wrong("stands beside `action` only")
    by_action = Rule(pointer=f"{place.pointer}/action", message=reason)
    if action == Ruling.DENY:
        denials.append(by_action)
    elif action == Ruling.REQUIRE_APPROVAL:
        approvals.append(by_action)
    return ToolPolicy(
        pointer=place.pointer,
        deny_if=tuple(denials),
        require_approval_if=tuple(approvals),
        approval=read_approval(place.child("approval")),
        summary=_template(place.child("summary")),
        risk=_risk(place.child("risk")),
    )


def _template(place: Place) -> str | None:
    text = place.text()
    if text is not None and ("{" in (rest := PLACEHOLDER.sub("", text)) or "}" in rest):
        place.wrong("has a brace that belongs to no {argument}")
    return text


def _deny_if(place: Place) -> tuple[list[Rule], list[Rule]]:
    """The denials, and the rules whose published wording asks for a person instead."""
    denials, approvals = [], []
    for rule in place.items():
        rule.only(("conditions", "on_deny"))
        _no_conditions(rule.child("conditions"))
        message = rule.child("on_deny").text() or ""
        if asks_for_approval(message):
            approvals.append(Rule(pointer=rule.pointer, message=""))
        else:
            denials.append(Rule(pointer=rule.pointer, message=message))
    return denials, approvals


def _approval_rule(rule: Place) -> Rule:
    rule.only(("conditions", "message", "approval"))
    _no_conditions(rule.child("conditions"))
    return Rule(
        pointer=rule.pointer,
        message=rule.child("message").text() or "",
        approval=read_approval(rule.child("approval")),
    )


def _no_conditions(place: Place) -> None:
    if not place.exists:
        place.wrong("is missing; [] makes the rule hold for every call")
    elif place.items():
        place.wrong("conditions inside the list are not read yet; only [] is, for every call")


def _risk(place: Place) -> Risk | None:
    if not place.exists:
        return None
    place.only(("level", "category", "why"))
    category = place.child("category").one_of(tuple(Category))
    level = place.child("level").one_of(tuple(Level))
    known = Category(category) if category else Category.EXECUTE
    return risk_of(
        known,
        level=Level(level) if level else LEVEL_OF[known],
        why=place.child("why").text(),
    )


def near_misses(document: Mapping[str, Json]) -> list[str]:
    """Pointers of `on_deny` texts that speak of approval and still only deny."""
    found = []
    for _, place in Place(document, "", Problems()).child("tools").members():
        for rule in place.child("deny_if").items():
            said = rule.child("on_deny").value
            if isinstance(said, str) and _sounds_like_asking(said):
                found.append(f"{rule.pointer}/on_deny")
    return found


def _sounds_like_asking(on_deny: str) -> bool:
    """Speaks of approval, or nearly is the published wording; and still only denies."""
    if asks_for_approval(on_deny):
        return False
    text = on_deny.casefold()
    return "approv" in text or SequenceMatcher(None, text, NEEDS_APPROVAL).ratio() > ALIKE
