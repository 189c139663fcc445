"""Names with `*`, which stands for any characters, also none."""

from __future__ import annotations


def matches(pattern: str, name: str) -> bool:
    """Whether `name` fits `pattern`; linear time."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, last = rest
    if not name.startswith(first) or not name.endswith(last):
        return False
    if len(name) < len(first) + len(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def overlap(one: str, other: str) -> bool:
    """Whether there is a name that fits both patterns."""
    reached = {(0, 0)}
    waiting = [(0, 0)]
    while waiting:
        i, j = waiting.pop()
        if i == len(one) and j == len(other):
            return True
        for place in _next(one, other, i, j):
            if place not in reached:
                reached.add(place)
                waiting.append(place)
    return False


def _next(one: str, other: str, i: int, j: int) -> list[tuple[int, int]]:
    """Where a common name can lead from here: a `*` may end, or take the other's character."""
    left = one[i : i + 1]
    right = other[j : j + 1]
    found = []
    if left == "*":
        found.append((i + 1, j))
        if right:
            found.append((i, j + 1))
    if right == "*":
        found.append((i, j + 1))
        if left:
            found.append((i + 1, j))
    if left and left == right:
        found.append((i + 1, j + 1))
    return found
