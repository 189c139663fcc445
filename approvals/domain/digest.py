"""What a decision binds: `v1:sha256:` over the canonical text of everything that matters.

The hashed text is canonical JSON, so anybody can recompute it:
`{"agent":…,"arguments":{…},"definition":…,"executor":…,"requirement":…,"revision":…,"server":…,
"tool":…}` (SECURITY.md, "What a decision binds").
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from approvals.domain.strictjson import canonical, quoted

if TYPE_CHECKING:
    from approvals.domain.call import Call
    from approvals.domain.quorum import Requirement, Stage


def sha256(text: str) -> str:
    """`sha256:` and the hash of the UTF-8 text, in hex."""
    return "sha256:" + hashlib.sha256(text.encode("utf-8")).hexdigest()


@lru_cache(maxsize=1024)
def requirement_hash(requirement: Requirement) -> str:
    """Covers stages in order and `exclude_owner`; not channels, timeouts or the whole policy."""
    return sha256(
        canonical(
            {
                "exclude_owner": requirement.exclude_owner,
                "ordered": requirement.ordered,
                "stages": [stage_facts(stage) for stage in requirement.stages],
            }
        )
    )


def stage_facts(stage: Stage) -> dict[str, object]:
    """A stage with everybody who may count for it, also after an escalation."""
    facts: dict[str, object] = {
        "approvers": sorted(stage.approvers),
        "assurance": stage.assurance.word,
        "deny_threshold": stage.deny_threshold,
        "name": stage.name,
        "required": stage.required,
    }
    if stage.escalates_to:
        facts["escalates_to"] = sorted(stage.escalates_to)
    return facts


def digest(
    call: Call, requirement: Requirement, *, revision: int, arguments: str | None = None
) -> str:
    """The digest that a person's decision names.

    `arguments` stand in for the call's where values are hidden: each of those is replaced by a
    keyed hash, for a digest without a key would tell a short secret to whoever tries all.
    """
    definition = quoted(call.definition.hash) if call.definition else "null"
    text = (
        f'{{"agent":{quoted(call.agent)},"arguments":{arguments or call.arguments},'
        f'"definition":{definition},"executor":{quoted(call.executor)},'
        f'"requirement":{quoted(requirement_hash(requirement))},"revision":{revision},'
        f'"server":{quoted(call.server)},"tool":{quoted(call.tool)}}}'
    )
    return "v1:" + sha256(text)


def identity_text(call: Call) -> str:
    """What makes two calls the same call; the service hashes it with its key (GATEWAY.md)."""
    return (
        f'{{"agent":{quoted(call.agent)},"arguments":{call.arguments},'
        f'"executor":{quoted(call.executor)},"server":{quoted(call.server)},'
        f'"tool":{quoted(call.tool)}}}'
    )
