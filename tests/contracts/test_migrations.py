"""The migrations make the tables of the code on every database, and can be taken back."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from approvals.storage import migrations
from tests.servers import Postgres, postgres, system_binaries


def goes_both_ways(url: str) -> None:
    migrations.upgrade(url)
    assert migrations.differences(url) == []
    migrations.downgrade(url)
    assert migrations.current(url)[0] is None
    migrations.upgrade(url)
    at, needed = migrations.current(url)
    assert at == needed
    assert migrations.is_known(at)
    assert not migrations.is_known("9999")


def test_on_sqlite(tmp_path: Path) -> None:
    goes_both_ways(f"sqlite:///{tmp_path}/test.db")


def test_on_postgresql(postgres_server: Postgres) -> None:
    name = f"empty_{secrets.token_hex(4)}"
    there = ("-U", "postgres", "-h", "127.0.0.1", "-p", str(postgres_server.port))
    postgres_server.run("createdb", *there, "-T", "template0", name)
    goes_both_ways(postgres_server.url(name))
    postgres_server.run("dropdb", *there, name)


@pytest.mark.long
def test_on_the_systems_postgresql() -> None:
    with postgres(system_binaries(), settings={"fsync": "off"}) as server:  # else the wheel's again
        goes_both_ways(server.url())
