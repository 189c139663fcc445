"""The pages run where all worlds do: on one process, and on two replicas."""

from __future__ import annotations

from tests.e2e.conftest import deployment, replicas

__all__ = ["deployment", "replicas"]
