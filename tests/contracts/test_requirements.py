"""A stored requirement is read as it was written, or not at all."""

from __future__ import annotations

import pytest

from approvals.domain.quorum import Requirement
from approvals.storage.requirements import requirement_of, requirement_text

TEXT = requirement_text(Requirement())


def test_a_requirement_is_read_as_it_was_written() -> None:
    assert requirement_of(TEXT) == Requirement()


@pytest.mark.parametrize(
    ("was", "became"),
    [
        ('"required":1', '"required":1.0'),
        ('"required":1', '"required":true'),
        ('"deny_threshold":1', '"deny_threshold":1.0'),
        ('"exclude_owner":true', '"exclude_owner":1'),
        ('"ordered":false', '"ordered":0'),
        ('"timeout_us":900000000', '"timeout_us":900000000.0'),
    ],
)
def test_what_is_equal_and_written_otherwise_is_not_read(was: str, became: str) -> None:
    """It would count as the same requirement wherever one is looked up by value."""
    assert was in TEXT
    with pytest.raises(TypeError):
        requirement_of(TEXT.replace(was, became))
