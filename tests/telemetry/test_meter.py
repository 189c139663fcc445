"""The exposition is what Prometheus expects: complete from the start, closed, one per service."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from approvals.domain.states import NoticeKind
from approvals.ports import Again, Backlog, Kept
from approvals.ports.telling import Delivery
from approvals.telemetry.meter import PrometheusMeter
from tests.telemetry.reading import NOTHING_KNOWN, counted, samples

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
KEPT = Kept(
    at=NOON,
    backlog=Backlog(pending=3, oldest=NOON - timedelta(minutes=2)),
    freezes=1,
    processes=2,
    configurations=2,
)


def delivery(channel: str) -> Delivery:
    return Delivery(
        id="evt:x",
        approval_id="apr",
        channel=channel,
        kind=NoticeKind.REQUESTED,
        event="parked",
        at=NOON,
    )


def shown(**changes: object) -> dict[str, float]:
    standing = replace(NOTHING_KNOWN, **changes)  # type: ignore[arg-type]
    return samples(PrometheusMeter().exposition(standing).decode())


def test_what_can_be_counted_is_shown_from_the_start_with_none() -> None:
    """A counter that appears with its first event hides it from `increase()`."""
    meter = PrometheusMeter()
    meter.job("expire_due")
    before = samples(meter.exposition(NOTHING_KNOWN).decode())
    for name in (
        'approvals_released_total{outcome="outcome_unknown"}',
        'approvals_deliveries_total{channel_kind="slack",result="failed"}',
        'approvals_flush_retries_total{reason="lost"}',
        'approvals_job_failures_total{name="expire_due"}',
        "approvals_hints_lost_total",
    ):
        assert before[name] == 0


def test_every_name_has_a_unit_or_counts_and_a_sentence() -> None:
    text = PrometheusMeter().exposition(replace(NOTHING_KNOWN, kept=KEPT, listening=True)).decode()
    types = dict(re.findall(r"# TYPE (\S+) (\S+)", text))
    sentences = dict(re.findall(r"# HELP (\S+) (.+)", text))
    assert types.keys() == sentences.keys()
    for name, kind in types.items():
        assert name.startswith("approvals_")
        assert sentences[name].endswith(".")
        assert (kind == "counter") is name.endswith("_total")
        assert kind != "histogram" or name.endswith(("_seconds", "_operations"))
    assert "_created" not in text


def test_two_services_in_one_process_count_apart() -> None:
    one, other = PrometheusMeter(), PrometheusMeter()
    one.again(Again.LOST)
    assert counted(one) == {'approvals_flush_retries_total{reason="lost"}': 1}
    assert counted(other) == {}


def test_groups_of_writes_are_counted_by_size_and_time() -> None:
    meter = PrometheusMeter()
    meter.flushed(operations=7, took=timedelta(milliseconds=250))
    assert counted(meter) == {
        "approvals_flush_operations_count": 1,
        "approvals_flush_operations_sum": 7,
        "approvals_flush_seconds_count": 1,
        "approvals_flush_seconds_sum": 0.25,
    }


def test_of_a_channel_only_its_kind_is_told() -> None:
    meter = PrometheusMeter()
    meter.told(delivery("slack:#trading"), at=NOON + timedelta(seconds=2))
    meter.not_told(delivery("webhook:ops"))
    meter.not_told(delivery("pigeon:grey"))
    assert counted(meter) == {
        'approvals_deliveries_total{channel_kind="slack",result="told"}': 1,
        'approvals_deliveries_total{channel_kind="webhook",result="failed"}': 1,
        'approvals_deliveries_total{channel_kind="other",result="failed"}': 1,
        "approvals_delivery_lag_seconds_count": 1,
        "approvals_delivery_lag_seconds_sum": 2,
    }


def test_a_job_that_fails_is_counted_under_its_name() -> None:
    meter = PrometheusMeter()
    failed = meter.job("expire_due")
    failed()
    failed()
    assert counted(meter) == {'approvals_job_failures_total{name="expire_due"}': 2}


def test_what_the_database_says_is_shown_while_it_answers() -> None:
    found = shown(kept=KEPT)
    assert found["approvals_database_up"] == 1
    assert found["approvals_pending"] == 3
    assert found["approvals_pending_oldest_seconds"] == 120
    assert found["approvals_frozen"] == 1
    assert found["approvals_processes"] == 2
    assert found["approvals_configurations"] == 2
    nobody = replace(KEPT, backlog=Backlog(pending=0, oldest=None))
    assert shown(kept=nobody)["approvals_pending_oldest_seconds"] == 0


def test_what_only_the_database_knows_is_not_made_up() -> None:
    found = shown()
    assert found["approvals_database_up"] == 0
    assert not found.keys() & {"approvals_pending", "approvals_frozen", "approvals_processes"}


def test_a_file_that_does_not_load_and_records_that_cannot_be_read_show() -> None:
    assert shown()["approvals_configuration_loaded"] == 1
    found = shown(file_loads=False, unreadable=4)
    assert found["approvals_configuration_loaded"] == 0
    assert found["approvals_unreadable"] == 4


def test_hints_are_shown_where_there_are_any() -> None:
    assert "approvals_hints_listening" not in shown()
    assert shown(listening=False)["approvals_hints_listening"] == 0
    found = shown(listening=True, hints_lost=5)
    assert found["approvals_hints_listening"] == 1
    assert found["approvals_hints_lost_total"] == 5
