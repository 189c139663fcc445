"""What waits to be written: in which order, and how much goes together."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from approvals.errors import Overloaded
from approvals.ports import Urgency
from approvals.storage.queue import MAX_GROUP, MAX_SIZE, MAX_WAITING, Queue


@dataclass(frozen=True)
class Write:
    row: str
    size: int = 1


def test_people_go_before_deadlines_and_these_before_jobs() -> None:
    queue: Queue[Write] = Queue()
    for urgency in (Urgency.JOBS, Urgency.DEADLINES, Urgency.PEOPLE):
        for n in range(2):
            queue.put(Write(f"{urgency.name} {n}"), urgency)
    assert [write.row for write in queue.take()] == [
        "PEOPLE 0", "PEOPLE 1", "DEADLINES 0", "DEADLINES 1", "JOBS 0", "JOBS 1"
    ]  # fmt: skip


def test_of_one_row_only_the_first_goes_and_the_others_keep_their_order() -> None:
    queue: Queue[Write] = Queue()
    writes = [Write("a", size) for size in (1, 2, 3)]
    for write in writes:
        queue.put(write, Urgency.PEOPLE)
    assert [queue.take() for _ in range(3)] == [[write] for write in writes]
    assert not queue


def test_a_group_has_its_limits() -> None:
    queue: Queue[Write] = Queue()
    for n in range(MAX_GROUP + 1):
        queue.put(Write(str(n)), Urgency.PEOPLE)
    assert (len(queue.take()), len(queue.take())) == (MAX_GROUP, 1)
    for n in range(3):
        queue.put(Write(str(n), MAX_SIZE // 2), Urgency.PEOPLE)
    assert (len(queue.take()), len(queue.take())) == (2, 1)


def test_the_queue_is_bounded_over_everything() -> None:
    queue: Queue[Write] = Queue()
    for n in range(MAX_WAITING):
        queue.put(Write(str(n)), Urgency(n % len(Urgency)))
    with pytest.raises(Overloaded):
        queue.put(Write("one more"), Urgency.PEOPLE)
