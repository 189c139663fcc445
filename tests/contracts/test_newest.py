"""Which version of an approval is known without reading it, and that this is bounded."""

from __future__ import annotations

from dataclasses import replace

from approvals.storage.newest import LARGEST, MOST, MOST_EXPECTED, Newest
from tests.contracts.suite import approving, parking
from tests.domain.builders import call


def test_a_version_is_known_by_the_hash_of_its_newest_event() -> None:
    newest, before = Newest(), parking().approval
    after = approving(before).after
    newest.keep(before)
    newest.expect(after)
    assert newest.get(before.id) == before
    assert newest.at(before.id, before.head.hash) == before
    assert newest.at(before.id, after.head.hash) == after
    assert newest.at(before.id, "sha256:another") is None


def test_what_was_not_written_is_expected_no_more() -> None:
    newest, made = Newest(), parking().approval
    newest.expect(made)
    newest.expect_no_more(made)
    assert newest.at(made.id, made.head.hash) is None


def test_neither_many_nor_large_ones_are_kept() -> None:
    newest, made = Newest(), parking().approval
    large = replace(made, call=call({"text": "x" * LARGEST}))
    newest.keep(made)
    newest.keep(large)
    assert newest.get(made.id) is None
    for n in range(MOST + 1):
        newest.keep(replace(made, id=f"apr_{n}"))
        newest.expect(replace(made, id=f"apr_{n}"))
    assert newest.get("apr_0") is None
    assert newest.get("apr_1") is not None
    newest.drop("apr_2")
    gone = f"apr_{MOST - MOST_EXPECTED}"
    newest.drop(gone)
    assert newest.at(gone, made.head.hash) is None
    newest.drop(f"apr_{MOST}")
    assert newest.at(f"apr_{MOST}", made.head.hash) is not None
