"""Slack is told where all worlds run: from one process, and from two replicas."""

from __future__ import annotations

from tests.e2e.conftest import deployment, replicas

__all__ = ["deployment", "replicas"]
