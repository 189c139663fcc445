"""How bad a call can be: a level, a category, and one sentence why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Category(StrEnum):
    READ = "Read"
    WRITE = "Write"
    EXECUTE = "Execute"
    DESTRUCTIVE = "Destructive"
    FINANCIAL = "Financial"


@dataclass(frozen=True, kw_only=True, slots=True)
class Risk:
    """What a person reads beside the call; `why` is ours or the policy's, never the agent's."""

    level: Level
    category: Category
    why: str

    @property
    def undoable(self) -> bool:
        """Whether a mistake can be taken back; a confirmation says so when it cannot."""
        return self.category not in {Category.DESTRUCTIVE, Category.FINANCIAL}


LEVEL_OF = {
    Category.READ: Level.LOW,
    Category.WRITE: Level.MEDIUM,
    Category.EXECUTE: Level.HIGH,
    Category.DESTRUCTIVE: Level.CRITICAL,
    Category.FINANCIAL: Level.CRITICAL,
}

WHY = {
    Category.READ: "reads data and changes nothing.",
    Category.WRITE: "changes data; the old state may be lost.",
    Category.EXECUTE: "runs something whose effects are not known in advance.",
    Category.DESTRUCTIVE: "deletes or ends something; it may not come back.",
    Category.FINANCIAL: "moves money or ends a committed trade; it cannot be brought back.",
}


def risk_of(category: Category, *, level: Level | None = None, why: str | None = None) -> Risk:
    """A risk with the words of our table where the policy gives none."""
    return Risk(level=level or LEVEL_OF[category], category=category, why=why or WHY[category])


@dataclass(frozen=True, kw_only=True, slots=True)
class RiskOverride:
    """What a policy says of a tool's risk; what it does not say is left as it is known."""

    level: Level | None = None
    category: Category | None = None
    why: str | None = None

    def over(self, known: Risk) -> Risk:
        """A category said brings its own level and words, unless these are said as well."""
        if self.category is None:
            return Risk(
                level=self.level or known.level,
                category=known.category,
                why=self.why or known.why,
            )
        return risk_of(self.category, level=self.level, why=self.why)


AS_KNOWN = RiskOverride()
"""A policy that says nothing of a tool's risk."""
UNKNOWN = risk_of(Category.EXECUTE)
"""What a tool is until somebody says otherwise."""
