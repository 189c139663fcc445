"""Options and the event loop that all tests share."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from approvals.storage.migrations import upgrade
from tests.servers import Postgres, Valkey, postgres, valkey


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the long sweeps")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: a long sweep, run by make test-all")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long sweeps are not collected unless asked for, so that nothing is ever shown as skipped."""
    if config.getoption("--long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    items[:] = [item for item in items if item not in long]
    if long:
        config.hook.pytest_deselected(items=long)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A server for all tests of this worker. What it loses at a power cut is not tested here."""
    with postgres(settings={"fsync": "off"}) as server:
        upgrade(server.url("template1"))
        yield server


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """A fresh database with the schema."""
    name = f"test_{secrets.token_hex(6)}"
    there = ("-U", "postgres", "-h", "127.0.0.1", "-p", str(postgres_server.port), name)
    postgres_server.run("createdb", *there)
    yield postgres_server.url(name)
    postgres_server.run("dropdb", "--force", *there)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    with valkey() as server:
        yield server
