"""Runs `approvals watch` on a terminal of its own, and leaves it with q once it listens."""

from __future__ import annotations

import os
import pty
import sys

said = b""
pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
while b"Watching" not in said:
    said += os.read(master, 4096)
os.write(master, b"q")
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
