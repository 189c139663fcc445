"""JSON pointers (RFC 6901): where in a document something stands."""

from __future__ import annotations


def below(pointer: str, step: str | int) -> str:
    """The pointer of a member or an item of what stands at `pointer`."""
    return f"{pointer}/{str(step).replace('~', '~0').replace('/', '~1')}"


def steps(pointer: str) -> list[str]:
    """The names and indexes on the way, as they were before they were escaped."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
