"""Helm once, and each set of values rendered once."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.deploy.chart import LONGEST, NO_HELM, SETS, Helm, Objects, find_helm


@pytest.fixture(scope="session")
def helm() -> Helm:
    found = find_helm()
    if found is None:
        pytest.fail(NO_HELM, pytrace=False)
    return found


@pytest.fixture(scope="session")
def rendered(helm: Helm) -> Mapping[str, Objects]:
    return {
        name: helm.render(values=name, release=LONGEST if name == "odd" else "demo")
        for name in SETS
    }


@pytest.fixture(params=SETS)
def objects(request: pytest.FixtureRequest, rendered: Mapping[str, Objects]) -> Objects:
    """What the chart makes, for each set of values."""
    return rendered[request.param]
