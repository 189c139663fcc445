"""The reference of the policy language: each example is read and judged, each key has one."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from approvals.config.calls import read_expectations
from approvals.config.load import load, load_policy
from approvals.domain.policy import document, read_settings
from approvals.domain.policy.conditions import Op
from approvals.domain.policy.evaluate import judge
from approvals.domain.policy.paths import Root
from approvals.storage.clock import SystemClock

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "policy.md").read_text()
BLOCKS = re.findall(r"```(\w+) (policy|calls)\n(.*?)```", PAGE, flags=re.DOTALL)
EXAMPLES = [(one, two) for one, two in pairwise(BLOCKS) if (one[1], two[1]) == ("policy", "calls")]


def test_every_policy_on_the_page_is_followed_by_calls() -> None:
    assert [kind for _, kind, _ in BLOCKS] == ["policy", "calls"] * len(EXAMPLES)
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize(("policy", "calls"), EXAMPLES)
def test_every_example_judges_its_calls_as_it_says(
    tmp_path: Path, policy: tuple[str, str, str], calls: tuple[str, str, str]
) -> None:
    file, table = tmp_path / f"policy.{policy[0]}", tmp_path / f"calls.{calls[0]}"
    file.write_text(policy[2])
    table.write_text(calls[2])
    read, _ = load_policy(file)
    for row in read_expectations(table):
        now = row.written.at or SystemClock().now()
        verdict = judge(read, row.written.call, now=now, labels=row.written.labels)
        assert (row.name, verdict.ruling) == (row.name, row.ruling)
        assert row.rule in {None, verdict.rule}


@pytest.mark.parametrize(
    "key",
    [
        *document._TOP,
        *document._TOOL,
        *read_settings._KEYS,
        *read_settings._STAGE,
        *(str(op) for op in Op),
        *(str(root) for root in Root),
    ],
)
def test_every_key_is_in_an_example_and_in_the_text(key: str) -> None:
    examples = "".join(text for _, _, text in BLOCKS)
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    word = rf"(?<![a-z_.]){re.escape(key)}(?![a-z_])"
    assert re.search(word, examples), f"no example has {key}"
    assert re.search(word, prose), f"the text does not explain {key}"


def test_the_example_of_the_configuration_page_loads(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "config.md").read_text()
    [example] = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "exchange.json").write_text('{"version": "1", "default": "deny"}')
    (tmp_path / "approvals.yaml").write_text(example)
    book = load(tmp_path / "approvals.yaml", starting_person=None, environ={"EXCHANGE_TOKEN": "t"})
    assert set(book.directory.people) == {"alice", "bob", "carol"}
