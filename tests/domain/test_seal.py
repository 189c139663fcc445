"""Seals: each over its events and after the one before, made with a key that is kept elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from approvals.domain.audit import Finding, seal_findings
from approvals.domain.seal import Seal, key_id, root_text, sealed
from tests.domain.builders import NOON

HASHES = ["sha256:b", "sha256:a"]


@dataclass(frozen=True)
class Secret:
    """A key that both makes and checks."""

    name: str = "k"

    def keyed(self, text: str, purpose: str = "seal") -> str:
        made = hashlib.sha256(f"{self.name} {purpose} {text}".encode()).hexdigest()
        return f"{self.name}:{made}"

    def knows(self, claimed: str) -> bool:
        return key_id(claimed) == self.name

    def verify(self, purpose: str, text: str, claimed: str) -> bool:
        return claimed == self.keyed(text, purpose)


KEY = Secret()


def seal_of(*hashes: str, after: Seal | None = None, key: Secret = KEY) -> Seal:
    return sealed(after, hashes, at=NOON, keyed=key.keyed)


FIRST = seal_of(*HASHES)
SECOND = seal_of("sha256:c", after=FIRST)


def words(seal: Seal, before: Seal | None, *hashes: str, key: Secret = KEY) -> list[str]:
    return [finding.what for finding in seal_findings(seal, before, hashes, key)]


def test_the_first_seal_follows_nothing_and_the_next_one_names_its_root() -> None:
    assert (FIRST.number, FIRST.previous, FIRST.events, FIRST.key) == (1, "", 2, "k")
    assert (SECOND.number, SECOND.previous, SECOND.events) == (2, FIRST.root, 1)


def test_the_root_does_not_hang_on_the_order_in_which_events_are_read() -> None:
    assert seal_of(*reversed(HASHES)) == FIRST


def test_everything_that_a_seal_says_is_under_its_root() -> None:
    texts = {
        root_text(1, "", HASHES, at=NOON),
        root_text(2, "", HASHES, at=NOON),
        root_text(1, "r", HASHES, at=NOON),
        root_text(1, "", [*HASHES, "sha256:c"], at=NOON),
        root_text(1, "", HASHES, at=NOON + timedelta(microseconds=1)),
    }
    assert len(texts) == 5


def test_a_seal_over_its_events_is_in_order() -> None:
    assert seal_findings(FIRST, None, HASHES, KEY) == []
    assert seal_findings(SECOND, FIRST, ["sha256:c"], KEY) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"number": 3}, "comes where 2 is next"),
        ({"previous": "k:other"}, "does not follow the seal before it"),
        ({"key": "o"}, "names another key than its root"),
        ({"events": 2}, "covers 2 events, and 1 name it"),
        ({"root": "o:x", "key": "o"}, "was made with the key o, which is not here"),
        ({"root": "k:x"}, "its root is that of other events"),
        ({"at": NOON + timedelta(microseconds=1)}, "its root is that of other events"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_whatever_of_a_seal_is_altered_is_said(change: dict[str, object], said: str) -> None:
    altered = replace(SECOND, **change)  # type: ignore[arg-type]
    [what] = words(altered, FIRST, "sha256:c")
    assert what.endswith(said)


def test_an_event_under_a_seal_that_was_altered_is_said_of_the_seal() -> None:
    [what] = words(SECOND, FIRST, "sha256:other")
    assert what.startswith("was altered, or an event under it")
    assert words(SECOND, FIRST) == ["covers 1 events, and 0 name it"]


def test_whoever_has_another_key_makes_no_root_that_fits() -> None:
    forged = seal_of("sha256:other", after=FIRST, key=Secret("k2"))
    assert words(forged, FIRST, "sha256:other") == ["was made with the key k2, which is not here"]
    named = replace(forged, key="k", root="k:" + forged.root.partition(":")[2])
    assert words(named, FIRST, "sha256:other") != []


def test_a_finding_names_the_seal_by_its_number() -> None:
    [finding] = seal_findings(replace(SECOND, key="o"), FIRST, ["sha256:c"], KEY)
    assert finding == Finding(
        table="seals", row="2", what="names another key than its root", at=NOON
    )
