"""pgbench with the SQL of one cycle: two durable transactions with full rows, no service at all."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from approvals.storage import mapping
from approvals.storage.migrations import upgrade
from tests.contracts.suite import approving, parking
from tests.domain.builders import call

if TYPE_CHECKING:
    from approvals.domain.strictjson import Json
    from tests.servers import Postgres

ARGUMENTS: dict[str, Json] = {
    "symbol": "BTCUSDT",
    "quantity": 1,
    "side": "SELL",
    "clientOrderId": "1234567890123-12345",
    "note": "close the position before the market flips",
}


def rate(server: Postgres, database: str, *, clients: int, seconds: int) -> float:
    """Cycles per second."""
    upgrade(server.url(database))
    script = server.folder / "cycle.sql"
    script.write_text(_script())
    script.chmod(0o644)
    said = server.run(
        "pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds),
        "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", "-f", str(script), database,
    )  # fmt: skip
    found = re.search(r"tps = ([0-9.]+)", said)
    assert found is not None, said
    return float(found[1])


def _script() -> str:
    """Park, then approve; `:n` makes each run's rows its own."""
    made = parking(call=call(ARGUMENTS))
    step = approving(made.approval)
    assert step.decision is not None
    before, after = made.approval, step.after
    park = [
        _insert("approvals", mapping.approval_row(before)),
        _insert("events", mapping.event_row(made.event)),
        *(
            _insert("outbox", row)
            for row in mapping.outbox_rows(before, made.notice, event=made.event)
        ),
    ]
    changes = ", ".join(
        f"{name} = {_literal(value)}" for name, value in mapping.changing_columns(after).items()
    )
    assert step.notice is not None
    decide = [
        f"select id from approvals where id = {_literal(after.id)} for update",  # noqa: S608
        f"update approvals set {changes} where id = {_literal(after.id)} and version = 1",  # noqa: S608
        _insert("decisions", mapping.decision_row(after.id, 1, step.decision)),
        _insert("events", mapping.event_row(step.event)),
        *(
            _insert("outbox", row)
            for row in mapping.outbox_rows(after, step.notice, event=step.event)
        ),
    ]
    lines = [r"\set n random(1, 1000000000000000)"]
    for transaction in (park, decide):
        lines += ["begin;", *(f"{statement};" for statement in transaction), "commit;"]
    text = "\n".join(lines)
    for word in {before.id, before.identity, made.op_id, step.op_id}:
        text = text.replace(f"'{word.replace(':', ';')}", f"'{word.replace(':', ';')}' || :n || '")
    return text + "\n"


def _insert(table: str, row: dict[str, object]) -> str:
    values = ", ".join(_literal(value) for value in row.values())
    return f"insert into {table} ({', '.join(row)}) values ({values})"  # noqa: S608


def _literal(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool | int):
        return str(value).lower()
    if isinstance(value, datetime):
        return "clock_timestamp()"
    # a colon would begin a variable of pgbench; another sign of one place is as good
    return "'" + str(value).replace("'", "''").replace(":", ";") + "'"
