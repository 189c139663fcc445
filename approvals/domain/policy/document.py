"""Read a policy document: a Policy, or every problem at once, each with its JSON pointer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from approvals.domain.digest import sha256
from approvals.domain.policy.evaluate import ASK
from approvals.domain.policy.globs import overlap
from approvals.domain.policy.model import AskingRule, Policy, Rule, Ruling, ToolPolicy
from approvals.domain.policy.read_rules import (
    read_conditions,
    read_limit,
    read_rate_limit,
    read_redact,
    read_require,
)
from approvals.domain.policy.read_settings import read_approval
from approvals.domain.policy.reading import Place, Problems
from approvals.domain.policy.settings import ApprovalSettings, merged
from approvals.domain.risk import AS_KNOWN, Category, Level, RiskOverride
from approvals.domain.strictjson import Json, canonical
from approvals.domain.summary import PLACEHOLDER
from approvals.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from approvals.domain.limits import Limit

NEEDS_APPROVAL = "requires human approval"
NO_SETTINGS = ApprovalSettings()

_TOP = ("version", "default", "hide", "all_tools", "tools", "approval")
_RULES = ("require", "deny_if", "require_approval_if", "limits", "rate_limit")
_TOOL = (
    *_RULES,
    "action",
    "reason",
    "approval",
    "summary",
    "redact",
    "risk",
    "justification",
)


def read_policy(document: Json, *, source: str, fallback: ApprovalSettings = NO_SETTINGS) -> Policy:
    """Read a published or hand-written policy; `fallback` are the settings of approvals.yaml.

    Raises ConfigurationInvalid naming every unknown key, wrong type and missing value; a document
    that is wrong anywhere gives no policy at all.
    """
    problems = Problems()
    policy = policy_at(Place(document, "", problems), name=source, fallback=fallback)
    if problems.found:
        raise ConfigurationInvalid(source, [str(problem) for problem in problems.found])
    return policy


def ask_policy(fallback: ApprovalSettings = NO_SETTINGS) -> Policy:
    """The built-in policy of servers without one: what only reads runs, the rest needs a person."""
    return Policy(name=ASK, hash=sha256(ASK), default=Ruling.DENY, ask=fallback.requirement())


def asks_for_approval(on_deny: str) -> bool:
    """Whether a published `on_deny` means "ask a person"; case, spaces, full stop do not matter."""
    return " ".join(on_deny.casefold().split()).rstrip(". ") == NEEDS_APPROVAL


def policy_at(top: Place, *, name: str, fallback: ApprovalSettings) -> Policy:
    """Read a policy inside another document; problems go where that document's do."""
    top = top.as_document()
    top.only(_TOP)
    if top.child("version").value != "1":
        top.child("version").wrong('must be the text "1"')
    farther = [read_approval(top.child("approval")), fallback]
    everywhere = _rules_for_all(top.child("all_tools"))
    places = dict(top.child("tools").members())
    _check_names(places)
    default = _default(top.child("default"))
    unlisted = ToolPolicy(pointer="(default allow)")
    if default is Ruling.ALLOW:
        unlisted = _entry(unlisted, [everywhere], farther)
    return Policy(
        name=name,
        hash=sha256(canonical(top.value)),
        default=default,
        hide=tuple(_hide(top.child("hide"))),
        tools={tool: _tool(place, tool, everywhere, farther) for tool, place in places.items()},
        unlisted=unlisted,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asking:
    """A rule that asks, before it is known for which tool and so with whose settings."""

    rule: Rule
    settings: ApprovalSettings
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rules:
    """The rules of one tool's entry, or of `all_tools`."""

    require: tuple[Rule, ...]
    deny_if: tuple[Rule, ...]
    asking: tuple[_Asking, ...]
    limits: tuple[Limit, ...]


def _default(place: Place) -> Ruling:
    chosen = place.one_of((Ruling.ALLOW, Ruling.DENY), required=True)
    return Ruling(chosen or Ruling.DENY)


def _hide(place: Place) -> list[str]:
    for item in place.items():
        if item.value == "":
            item.wrong("is no tool name")
    return place.texts()


def _check_names(places: Mapping[str, Place]) -> None:
    """Two globs of equal length must not fit one name: nobody could say which one counts."""
    for name, place in places.items():
        if not name:
            place.wrong("is no tool name")
    globs = sorted(name for name in places if "*" in name)
    for index, one in enumerate(globs):
        for other in globs[index + 1 :]:
            if len(one) == len(other) and overlap(one, other):
                places[other].wrong(
                    f"fits the same names as {one}, which is as long; make one of them longer"
                )


def _tool(
    place: Place, tool: str, everywhere: _Rules, farther: Sequence[ApprovalSettings]
) -> ToolPolicy:
    if place.value is None:
        place.wrong("is empty; write {} to allow the tool")
        place = place.as_empty()
    place.only(_TOOL)
    entry = ToolPolicy(
        pointer=place.inner,
        summary=_template(place.child("summary")),
        redact=read_redact(place.child("redact")),
        risk=_risk(place.child("risk")),
        justification=place.child("justification").one_of(("required",)) is not None,
    )
    settings = read_approval(place.child("approval"))
    return _entry(entry, [_with_action(place, tool), everywhere], [settings, *farther])


def _entry(
    entry: ToolPolicy, rules: Sequence[_Rules], farther: Sequence[ApprovalSettings]
) -> ToolPolicy:
    """The entry with the rules that hold for it, each with whom it asks."""
    return replace(
        entry,
        require=tuple(rule for found in rules for rule in found.require),
        deny_if=tuple(rule for found in rules for rule in found.deny_if),
        require_approval_if=tuple(
            _asking(asking, farther) for found in rules for asking in found.asking
        ),
        limits=tuple(limit for found in rules for limit in found.limits),
    )


def _asking(asking: _Asking, farther: Sequence[ApprovalSettings]) -> AskingRule:
    levels = [asking.settings, *farther]
    for at, level in enumerate(levels):
        if level.cuts(merged(levels[at + 1 :])):
            asking.place.wrong(
                "gets `stages` from a farther place and only one of `approvers` and `required` "
                "here; say both, or `stages`"
            )
    return AskingRule(
        pointer=asking.rule.pointer,
        message=asking.rule.message,
        conditions=asking.rule.conditions,
        requirement=merged(levels).requirement(),
    )


def _with_action(place: Place, tool: str) -> _Rules:
    """The entry's rules, with the `action` of the published short form as one of them."""
    rules = _rules(place, counter=f"rate_limit {tool}")
    action = place.child("action").one_of((Ruling.ALLOW, Ruling.DENY, Ruling.REQUIRE_APPROVAL))
    reason = place.child("reason")
    if reason.exists and not place.child("action").exists:
        reason.wrong("stands beside `action` only")
    rule = Rule(pointer=f"{place.inner}/action", message=reason.text() or "")
    if action == Ruling.DENY:
        return replace(rules, deny_if=(*rules.deny_if, rule))
    if action == Ruling.REQUIRE_APPROVAL:
        asking = _Asking(rule=rule, settings=NO_SETTINGS, place=place.child("action"))
        return replace(rules, asking=(*rules.asking, asking))
    return rules


def _rules_for_all(place: Place) -> _Rules:
    if place.exists:
        place.only(_RULES)
    return _rules(place, counter="rate_limit")


def _rules(place: Place, *, counter: str) -> _Rules:
    denials, asking = _deny_if(place.child("deny_if"))
    asking += [_approval_rule(item) for item in place.child("require_approval_if").items()]
    limits = [read_limit(item) for item in place.child("limits").items()]
    limits.append(read_rate_limit(place.child("rate_limit"), counter=counter))
    return _Rules(
        require=tuple(read_require(item) for item in place.child("require").items()),
        deny_if=tuple(denials),
        asking=tuple(asking),
        limits=tuple(limit for limit in limits if limit is not None),
    )


def _deny_if(place: Place) -> tuple[list[Rule], list[_Asking]]:
    """The denials, and the rules whose published wording asks for a person instead."""
    denials, asking = [], []
    for item in place.items():
        item.only(("conditions", "on_deny"))
        said = item.child("on_deny").text() or ""
        asks = asks_for_approval(said)
        rule = Rule(
            pointer=item.inner,
            message="" if asks else said,
            conditions=read_conditions(item.child("conditions")),
        )
        if asks:
            asking.append(_Asking(rule=rule, settings=NO_SETTINGS, place=item))
        else:
            denials.append(rule)
    return denials, asking


def _approval_rule(place: Place) -> _Asking:
    place.only(("conditions", "message", "approval"))
    message = place.child("message").text() or ""
    rule = Rule(
        pointer=place.inner,
        message="" if asks_for_approval(message) else message,
        conditions=read_conditions(place.child("conditions")),
    )
    return _Asking(rule=rule, settings=read_approval(place.child("approval")), place=place)


def _template(place: Place) -> str | None:
    text = place.text()
    if text is not None and ("{" in (rest := PLACEHOLDER.sub("", text)) or "}" in rest):
        place.wrong("has a brace that belongs to no {argument}")
    return text


def _risk(place: Place) -> RiskOverride:
    if not place.exists:
        return AS_KNOWN
    place.only(("level", "category", "why"))
    category = place.child("category").one_of(tuple(Category))
    level = place.child("level").one_of(tuple(Level))
    return RiskOverride(
        level=Level(level) if level else None,
        category=Category(category) if category else None,
        why=place.child("why").text() or None,
    )
