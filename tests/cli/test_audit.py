"""`audit verify` with and without a service, `audit export`, `db after-restore`, as processes."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

from tests.cli.test_serve import Machine, ask, machine, running

__all__ = ["machine", "running"]

DATABASE = "sqlite:///approvals.db"


def stopped(machine: Machine) -> None:
    assert machine.process is not None
    machine.process.terminate()
    machine.process.wait(20)


def altered(machine: Machine, sql: str) -> None:
    with closing(sqlite3.connect(machine.folder / "approvals.db")) as connection, connection:
        connection.execute(sql)


def test_the_audit_is_verified_over_rest_and_beside_a_running_service(running: Machine) -> None:
    denied = ask(running, "file")
    running.run("deny", str(denied["id"]), "--reason", "no")
    said = running.run("audit", "verify")
    assert "as it was written: 3 events (3 not sealed yet), 1 approvals, 0 seals" in said
    assert "as it was written: 3 events" in running.run("audit", "verify", "--database", DATABASE)
    altered(running, "update decisions set reason = 'yes'")
    for words in ((), ("--database", DATABASE)):
        said = running.run("audit", "verify", *words, code=1)
        named = f"decisions {denied['id']} 1 ({denied['id']}, event 2)"
        assert f"{named}: is not what its event says" in said
        assert "2 findings: 3 events" in said
        found = json.loads(running.run("audit", "verify", "-o", "json", *words, code=1))
        assert (found["ok"], found["found"]) == (False, 2)


def test_without_a_service_the_database_is_read_and_not_touched(running: Machine) -> None:
    ask(running, "file")
    stopped(running)
    folder = running.folder
    running.process = None
    before = (folder / "approvals.db").read_bytes()
    assert "as it was written: 2 events" in running.run("audit", "verify", "--database", DATABASE)
    assert (folder / "approvals.db").read_bytes() == before
    assert not list(folder.glob("*.lock.new"))
    running.serve()


def test_what_is_missing_for_verifying_is_said_in_a_sentence(machine: Machine) -> None:
    verify = ("audit", "verify", "--database")
    assert "approvals.db is not there" in machine.run(*verify, DATABASE, code=1)
    assert not (machine.folder / "approvals.db").exists()
    machine.run("db", "upgrade")
    said = machine.run(*verify, DATABASE, code=1)
    assert "approvals.db.secret does not load:" in said
    assert "set APPROVALS_SECRET_KEY" in said
    key = {"APPROVALS_SECRET_KEY": "s" * 32}
    assert "0 events" in machine.run(*verify, DATABASE, more=key)
    assert not (machine.folder / "approvals.db.secret").exists()
    (machine.folder / "text.db").write_text("this is no database, however long it may be. " * 100)
    said = machine.run(*verify, "sqlite:///text.db", code=1, more=key)
    assert "The database cannot be read." in said
    machine.run(*verify, "mysql://x", code=1)


def test_a_postgresql_database_is_verified_and_ended_after_a_restore(
    machine: Machine, postgres_url: str
) -> None:
    key = {"APPROVALS_SECRET_KEY": "s" * 32}
    verify = ("audit", "verify", "--database")
    assert "as it was written: 0 events" in machine.run(*verify, postgres_url, more=key)
    more = {**key, "APPROVALS_DATABASE_URL": postgres_url}
    assert "0 pending or approved" in machine.run("db", "after-restore", more=more)
    assert "as it was written: 1 events" in machine.run(*verify, postgres_url, more=key)
    nowhere = f"postgresql://127.0.0.1:{machine.port}/none"
    assert "The database cannot be reached" in machine.run(*verify, nowhere, code=1, more=key)


def test_an_older_schema_is_said(machine: Machine) -> None:
    machine.run("db", "upgrade")
    altered(machine, "update alembic_version set version_num = '0002'")
    key = {"APPROVALS_SECRET_KEY": "s" * 32}
    said = machine.run("audit", "verify", "--database", DATABASE, code=1, more=key)
    assert "is at 0002" in said
    assert "approvals db upgrade" in said


def test_after_a_restore_nothing_is_open_and_the_service_starts(running: Machine) -> None:
    pending, denied = ask(running, "pending"), ask(running, "denied")
    running.run("deny", str(denied["id"]))
    said = running.run("db", "after-restore", code=1)
    assert "Another approvals server already uses" in said
    stopped(running)
    said = running.run("db", "after-restore")
    assert "1 pending or approved calls are cancelled; they may have run" in said
    assert "0 calls that were being sent: outcome unknown" in said
    assert "0 pending or approved" in running.run("db", "after-restore")
    running.serve()
    shown = json.loads(running.run("show", str(pending["id"]), "-o", "json"))
    assert (shown["status"], shown["status_reason"]) == ("cancelled", "restored")
    assert json.loads(running.run("show", str(denied["id"]), "-o", "json"))["status"] == "denied"
    assert "as it was written: 8 events" in running.run("audit", "verify")


def test_an_export_is_written_line_by_line(running: Machine) -> None:
    ask(running, "file \u202e")
    lines = running.run("audit", "export").splitlines()
    link, event = (json.loads(line) for line in lines)
    assert link["type"] == "sign_in_link_made"  # that the start has printed
    assert (event["type"], event["seq"], event["actor"]) == ("parked", 1, "agent:bot")
    assert running.run("audit", "export", "--to", "2020-01-01T00:00:00Z") == ""
    said = running.run("audit", "export", "--from", "yesterday", code=1)
    assert "`from` is a time with its zone" in said
