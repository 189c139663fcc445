"""Options and the event loop that all tests share."""

from __future__ import annotations

import pytest


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
