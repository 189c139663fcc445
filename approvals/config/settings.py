"""The environment, read once. Every setting stands in docs/reference/settings.md."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from approvals.channels.slack.settings import SlackSettings
from approvals.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX = "APPROVALS_"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_FORMATS = ("text", "json")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
MAX_PORT = 65535
_TRACES_TO = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
MAX_SECRETS = 10
DAY = 86_400
MAX_RETENTION = 36_500 * DAY


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """`APPROVALS_<NAME>` for each field; every default is safe."""

    database_url: str = "sqlite:///approvals.db"
    host: str = "127.0.0.1"
    port: int = 8642
    public_url: str | None = None
    config: Path | None = None
    secret_key: tuple[bytes, ...] = ()
    log_level: str = "INFO"
    log_format: str = "text"
    upstream_timeout: timedelta = timedelta(seconds=60)
    hold_with_progress: timedelta = timedelta(seconds=200)
    redis_url: str | None = None
    retention_arguments: timedelta = timedelta(days=30)
    slack_bot_token: str | None = None
    slack_signing_secret: str | None = None
    slack_app_token: str | None = None
    slack_app_id: str | None = None
    slack_base_url: str = "https://slack.com/api/"

    @property
    def slack(self) -> SlackSettings | None:
        """How this service is known to Slack, if it is."""
        if self.slack_bot_token is None:
            return None
        return SlackSettings(
            bot_token=self.slack_bot_token,
            app_id=self.slack_app_id or _app_of(self.slack_app_token) or "",
            signing_secret=self.slack_signing_secret,
            app_token=self.slack_app_token,
            base_url=self.slack_base_url,
        )

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches the service."""
        return self.host in _LOOPBACK

    @property
    def pages(self) -> str:
        """Where people reach the pages, as far as that is known; empty if it is not."""
        if self.public_url is not None or not self.on_loopback:
            return self.public_url or ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}" if self.port else ""

    @property
    def on_sqlite(self) -> bool:
        """Whether the database is a file that one process serves."""
        return self.database_url.startswith("sqlite:///")

    @property
    def database_path(self) -> Path:
        """The file of an SQLite database."""
        return Path(self.database_url.removeprefix("sqlite:///"))

    @property
    def database_name(self) -> str:
        """The database without its password."""
        if self.on_sqlite:
            return self.database_url
        url = urlsplit(self.database_url)
        return f"postgresql://{url.hostname}:{url.port or 5432}{url.path}"


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read every `APPROVALS_…` variable. Raises ConfigurationInvalid with all problems at once."""
    given = os.environ if environ is None else environ  # noqa: TID251 (this is their home)
    problems: list[str] = []
    values: dict[str, object] = {}
    for field in fields(Settings):
        text = given.get(PREFIX + field.name.upper())
        if text is None or text == "":
            continue
        try:
            values[field.name] = _READ[field.name](text)
        except ValueError as error:
            problems.append(f"{PREFIX}{field.name.upper()} {error}")
    if problems:
        raise ConfigurationInvalid("the environment", problems)
    settings = Settings(**values)  # type: ignore[arg-type]
    if not settings.on_sqlite and not settings.secret_key:
        raise ConfigurationInvalid(
            "the environment",
            ["APPROVALS_SECRET_KEY is needed with PostgreSQL: all replicas share it"],
        )
    if wrong := _slack_problems(settings):
        raise ConfigurationInvalid("the environment", wrong)
    return _with_config(settings)


def _slack_problems(settings: Settings) -> list[str]:
    """What is missing for cards and their buttons, once anything is given."""
    given = (settings.slack_signing_secret, settings.slack_app_token, settings.slack_app_id)
    if settings.slack_bot_token is None:
        return ["APPROVALS_SLACK_BOT_TOKEN is needed for Slack"] if any(given) else []
    problems = []
    if settings.slack_signing_secret is None and settings.slack_app_token is None:
        problems.append(
            "APPROVALS_SLACK_SIGNING_SECRET (clicks over HTTP) or APPROVALS_SLACK_APP_TOKEN "
            "(Socket Mode) is needed with APPROVALS_SLACK_BOT_TOKEN: else no button would work"
        )
    if settings.slack_app_id is None and _app_of(settings.slack_app_token) is None:
        problems.append("APPROVALS_SLACK_APP_ID is needed: the clicks of other apps are refused")
    return problems


def _app_of(app_token: str | None) -> str | None:
    """`xapp-1-A0123456789-…` names its app."""
    found = re.fullmatch(r"xapp-\d+-(A[A-Z0-9]+)-.+", app_token or "")
    return found[1] if found else None


def state_file(environ: Mapping[str, str] | None = None) -> Path:
    """Where `serve` tells the command line which server to talk to and with which key."""
    given = os.environ if environ is None else environ  # noqa: TID251 (this is their home)
    folder = given.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(folder) / "approvals" / "state.json"


def environment() -> Mapping[str, str]:
    """The variables that `${NAME}` in approvals.yaml may name."""
    return os.environ  # noqa: TID251 (this is their home)


def exports_traces(environ: Mapping[str, str] | None = None) -> bool:
    """Whether OpenTelemetry's own variables name a place for traces."""
    given = os.environ if environ is None else environ  # noqa: TID251 (this is their home)
    return any(given.get(name) for name in _TRACES_TO)


def client_environment(environ: Mapping[str, str] | None = None) -> tuple[str | None, str | None]:
    """`APPROVALS_URL` and `APPROVALS_KEY`, which the command line uses."""
    given = os.environ if environ is None else environ  # noqa: TID251 (this is their home)
    return given.get("APPROVALS_URL") or None, given.get("APPROVALS_KEY") or None


def _with_config(settings: Settings) -> Settings:
    """`approvals.yaml` in the working folder is used if it exists."""
    if settings.config is not None:
        return settings
    here = Path("approvals.yaml")
    if not here.is_file():
        return settings
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return Settings(**{**values, "config": here})


def _database_url(text: str) -> str:
    if text.startswith("postgres://"):
        text = text.replace("postgres://", "postgresql://", 1)
    if text.startswith("postgresql://") and _host(text).path.strip("/"):
        return text
    if not text.startswith("sqlite:///") or len(text) == len("sqlite:///"):
        raise ValueError("must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE")
    return text


def _redis_url(text: str) -> str:
    if not text.startswith(("redis://", "rediss://", "valkey://", "valkeys://")):
        raise ValueError("must be redis://HOST:PORT/NUMBER, or rediss:// for TLS")
    _host(text)
    return text.replace("valkey", "redis", 1) if text.startswith("valkey") else text


def _host(text: str) -> SplitResult:
    """The parts of a URL. What is wrong with it is said without its password."""
    try:
        parts = urlsplit(text)
        named = parts.hostname, parts.port
    except ValueError:
        named = (None, None)
    if named[0] is None or "#" in text:
        raise ValueError(
            "names no host; write the signs / # ? @ of a password as %2F %23 %3F %40"
        ) from None
    return parts


def _port(text: str) -> int:
    if not text.isdigit() or not 0 <= int(text) <= MAX_PORT:
        raise ValueError("must be a port number")
    return int(text)


def _secrets(text: str) -> tuple[bytes, ...]:
    secrets = tuple(part.strip().encode() for part in text.split(","))
    if len(secrets) > MAX_SECRETS or any(len(secret) < 32 for secret in secrets):  # noqa: PLR2004
        raise ValueError("must be secrets of at least 32 characters with commas, newest first")
    return secrets


def _log_level(text: str) -> str:
    if text.upper() not in _LEVELS:
        raise ValueError(f"must be one of {', '.join(_LEVELS)}")
    return text.upper()


def _log_format(text: str) -> str:
    if text.lower() not in _FORMATS:
        raise ValueError(f"must be one of {', '.join(_FORMATS)}")
    return text.lower()


def _seconds(text: str) -> timedelta:
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError("must be a number of seconds") from None
    if not 0.1 <= seconds <= 3600:  # noqa: PLR2004
        raise ValueError("must be between 0.1 and 3600 seconds")
    return timedelta(seconds=seconds)


def _retention(text: str) -> timedelta:
    """At least a day: for that long an outcome waits for the client that has not had it."""
    if not text.isdigit() or not DAY <= int(text) <= MAX_RETENTION:
        raise ValueError(f"must be a whole number of seconds from {DAY} to {MAX_RETENTION}")
    return timedelta(seconds=int(text))


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("must be an http:// or https:// URL")
    return text.rstrip("/")


def _word(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be one word of ASCII")
    return text


def _starting(prefix: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not text.startswith(prefix):
            raise ValueError(f"must be a token that begins with {prefix}")
        return _word(text)

    return read


def _app_id(text: str) -> str:
    if not re.fullmatch(r"A[A-Z0-9]{2,20}", text):
        raise ValueError("must be the id of the Slack app, such as A0123456789")
    return text


_READ: dict[str, Callable[[str], object]] = {
    "database_url": _database_url,
    "host": str,
    "port": _port,
    "public_url": _url,
    "config": Path,
    "secret_key": _secrets,
    "log_level": _log_level,
    "log_format": _log_format,
    "upstream_timeout": _seconds,
    "hold_with_progress": _seconds,
    "redis_url": _redis_url,
    "retention_arguments": _retention,
    "slack_bot_token": _starting("xoxb-"),
    "slack_signing_secret": _word,
    "slack_app_token": _starting("xapp-"),
    "slack_app_id": _app_id,
    "slack_base_url": lambda text: _url(text) + "/",
}
