"""What machines read of the log is one object a line."""

from __future__ import annotations

import json
import logging
import sys

from approvals.cli.logs import JsonLines


def record(message: str, *args: object, failed: bool = False) -> logging.LogRecord:
    why = None
    if failed:
        try:
            raise ValueError("line one\nline two")
        except ValueError:
            why = sys.exc_info()
    return logging.LogRecord("approvals.x", logging.WARNING, "x.py", 1, message, args, why)


def test_a_line_is_one_object_whatever_stands_in_it() -> None:
    text = JsonLines().format(record("held %s", 'a"\n\u2028\x1b[31m'))
    assert "\n" not in text
    assert text.isascii()
    said = json.loads(text)
    assert said["message"] == 'held a"\n\u2028\x1b[31m'
    assert (said["level"], said["logger"]) == ("WARNING", "approvals.x")
    assert said["time"].endswith("+00:00")


def test_a_traceback_is_in_the_same_line() -> None:
    text = JsonLines().format(record("failed", failed=True))
    assert "\n" not in text
    assert "line two" in json.loads(text)["exception"]
