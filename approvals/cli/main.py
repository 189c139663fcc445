"""`approvals`: the entry point. Modules behind a command are imported when it runs."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="approvals",
    help="A person decides before an AI agent's tool call runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
INTERRUPTED = 130
policy_app = typer.Typer(help="Look at a policy before it is used.", no_args_is_help=True)
config_app = typer.Typer(help="The configuration file.", no_args_is_help=True)
keys_app = typer.Typer(help="Keys of people and agents.", no_args_is_help=True)
definitions_app = typer.Typer(help="What servers changed about tools.", no_args_is_help=True)
audit_app = typer.Typer(help="What happened, and the proof of it.", no_args_is_help=True)
db_app = typer.Typer(help="The database.", no_args_is_help=True)
slack_app = typer.Typer(help="Cards in Slack.", no_args_is_help=True)
app.add_typer(policy_app, name="policy")
app.add_typer(config_app, name="config")
app.add_typer(keys_app, name="keys")
app.add_typer(definitions_app, name="definitions")
app.add_typer(db_app, name="db")
app.add_typer(audit_app, name="audit")
app.add_typer(slack_app, name="slack")

Url = Annotated[str | None, typer.Option(help="The service; else APPROVALS_URL or the state file.")]
Key = Annotated[str | None, typer.Option(help="Your key; else APPROVALS_KEY or the state file.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="An approval's id, or the beginning of one.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask again.")]


class Format(StrEnum):
    """How to print."""

    TEXT = "text"
    JSON = "json"


Output = Annotated[Format, typer.Option("--output", "-o", help="How to print.")]


@app.command()
def serve() -> None:
    """Run the service: gateway and REST API, one process."""
    from approvals.cli.serve import serve as run

    run()


@slack_app.command(name="manifest")
def slack_manifest() -> None:
    """Print the manifest of the Slack app, for the settings of this environment."""
    from approvals.cli import slack

    slack.manifest()


@slack_app.command(name="test")
def slack_test(
    channel: Annotated[str, typer.Argument(help="Such as '#trading'.")],
    url: Url = None,
    key: Key = None,
) -> None:
    """Post a sample with a button that decides nothing and says what works. For admins."""
    from approvals.cli import slack

    slack.test(channel, url=url, key=key)


@app.command()
def demo(
    yes: Annotated[bool, typer.Option("--yes", help="Approve without asking.")] = False,
    no: Annotated[bool, typer.Option("--no", help="Deny without asking.")] = False,
    timeout: Annotated[
        str | None, typer.Option(help="Let nobody answer; denied after this long, such as 5s.")
    ] = None,
    attacks: Annotated[
        bool, typer.Option("--attacks", help="Play attacks instead, and what comes of each.")
    ] = False,
) -> None:
    """See a held call: a toy exchange, a real gateway, a real agent. Twenty seconds."""
    from approvals.cli import demo as command

    if not attacks:
        command.demo(yes=yes, no=no, timeout=timeout)
    elif yes or no or timeout is not None:
        raise typer.BadParameter("--attacks goes with none of --yes, --no and --timeout")
    else:
        command.attacks()


@app.command()
def init(
    file: Annotated[
        Path | None,
        typer.Argument(help="The configuration of an MCP client; else one in this folder."),
    ] = None,
) -> None:
    """Write approvals.yaml and policies for the servers that an MCP client uses."""
    from approvals.cli.init import init as run

    run(file)


@app.command(name="list")
def list_(
    status: Annotated[str | None, typer.Option(help="Only these, such as pending.")] = None,
    output: Output = Format.TEXT,
    url: Url = None,
    key: Key = None,
) -> None:
    """Approvals, youngest first."""
    from approvals.cli import calls

    calls.list_(status=status, as_json=output is Format.JSON, url=url, key=key)


@app.command()
def show(id_: Id, output: Output = Format.TEXT, url: Url = None, key: Key = None) -> None:
    """One call: what would run, with which arguments, and who has answered."""
    from approvals.cli import calls

    calls.show(id_, as_json=output is Format.JSON, url=url, key=key)


@app.command()
def approve(
    id_: Id,
    reason: Annotated[str | None, typer.Option(help="Why; everybody sees it.")] = None,
    yes: Yes = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show a call, then let it run once, exactly as shown."""
    from approvals.cli import calls

    calls.approve(id_, reason=reason, yes=yes, url=url, key=key)


@app.command()
def deny(
    id_: Id,
    reason: Annotated[str | None, typer.Option(help="Why; the agent is told.")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Refuse a call."""
    from approvals.cli import calls

    calls.deny(id_, reason=reason, url=url, key=key)


@app.command()
def cancel(id_: Id, url: Url = None, key: Key = None) -> None:
    """Withdraw a call that was not sent yet."""
    from approvals.cli import calls

    calls.cancel(id_, url=url, key=key)


@app.command()
def watch(url: Url = None, key: Key = None) -> None:
    """See calls as they come, and answer each with a key."""
    from approvals.cli.watch import watch as run

    run(url=url, key=key)


@app.command()
def connect(
    server: Annotated[str, typer.Argument(help="A server of approvals.yaml.")],
    client: Annotated[
        str, typer.Option(help="claude-code, cursor, vscode, codex or python.")
    ] = "claude-code",
    url: Url = None,
    key: Key = None,
) -> None:
    """Print the configuration with which a client reaches a server behind the gateway."""
    from approvals.cli.clients import connect as run

    run(server, client=client, url=url, key=key)


@app.command(context_settings={"ignore_unknown_options": True})
def wrap(
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND", help="After `--`: a stdio MCP server.")
    ],
    server: Annotated[
        str | None, typer.Option(help="What to call the server; else a part of the command.")
    ] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Start a stdio MCP server whose calls the running service decides on."""
    from approvals.cli.wrap import wrap as run

    raise typer.Exit(run(command, server=server, url=url, key=key))


@app.command()
def login(url: Url = None, key: Key = None) -> None:
    """Print a link that signs in to the web pages, once."""
    from approvals.cli.login import login as run

    run(url=url, key=key)


@app.command()
def freeze(
    reason: Annotated[str | None, typer.Option(help="Why; agents and people are told.")] = None,
    server: Annotated[str | None, typer.Option(help="Only calls to this server.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only calls of this agent.")] = None,
    output: Output = Format.TEXT,
    url: Url = None,
    key: Key = None,
) -> None:
    """Refuse new calls and releases from now on; without --reason, list what is frozen."""
    from approvals.cli import freezes

    if reason is not None:
        freezes.freeze(server=server, agent=agent, reason=reason, url=url, key=key)
    else:
        freezes.list_(as_json=output is Format.JSON, url=url, key=key)


@app.command()
def thaw(
    freeze_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Which, if there are several.")
    ] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Let calls go on."""
    from approvals.cli import freezes

    freezes.thaw(freeze_id, url=url, key=key)


@app.command()
def doctor() -> None:
    """Say what would go wrong tonight: configuration, people, channels, clock, database."""
    from approvals.cli.doctor import doctor as run

    run()


PolicyFile = Annotated[Path, typer.Argument(metavar="FILE", help="A policy, JSON or YAML.")]


@policy_app.command()
def check(file: PolicyFile) -> None:
    """Say how each rule is read and who would be asked, or everything that is wrong."""
    from approvals.cli.policy import check as run

    run(file)


@policy_app.command()
def explain(
    what: Annotated[str, typer.Argument(metavar="FILE|ID", help="A policy, or an approval's id.")],
    call: Annotated[
        Path | None, typer.Argument(metavar="CALL", help="With a policy: a file with a call.")
    ] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Say which rules look at a call, and what comes of each."""
    from approvals.cli import policy

    if call is not None:
        policy.explain(Path(what), call)
    elif what.startswith("apr_"):
        policy.explain_approval(what, url=url, key=key)
    else:
        raise typer.BadParameter("give a policy and a file with a call, or an approval's id")


@policy_app.command(name="test")
def try_policy(
    file: PolicyFile,
    table: Annotated[
        Path | None,
        typer.Argument(metavar="TABLE", help="Calls and what to expect; else FILE.tests beside."),
    ] = None,
) -> None:
    """Judge a table of calls, and fail when a verdict is not the expected one."""
    from approvals.cli.policy import test as run

    run(file, table)


@config_app.command(name="check")
def check_config(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Else APPROVALS_CONFIG.")
    ] = None,
) -> None:
    """Say what the configuration means, or everything that is wrong with it."""
    from approvals.cli.config import check as run

    run(file)


@keys_app.command()
def create(
    agent: Annotated[str | None, typer.Option(help="For this agent.")] = None,
    person: Annotated[str | None, typer.Option(help="For this person.")] = None,
    label: Annotated[str, typer.Option(help="To tell it from others.")] = "",
    first_admin: Annotated[
        bool,
        typer.Option(
            "--first-admin", help="For an admin, in the database, while no server is running."
        ),
    ] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Make a key; it is printed once."""
    from approvals.cli import keys

    if first_admin:
        keys.first_admin(person=person, label=label)
    else:
        keys.create(agent=agent, person=person, label=label, url=url, key=key)


@keys_app.command(name="list")
def list_keys(output: Output = Format.TEXT, url: Url = None, key: Key = None) -> None:
    """Keys, without the keys themselves."""
    from approvals.cli import keys

    keys.list_(as_json=output is Format.JSON, url=url, key=key)


@keys_app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Of the list.")],
    url: Url = None,
    key: Key = None,
) -> None:
    """End a key."""
    from approvals.cli import keys

    keys.revoke(key_id, url=url, key=key)


@definitions_app.command(name="list")
def list_definitions(output: Output = Format.TEXT, url: Url = None, key: Key = None) -> None:
    """The tools that are not what was accepted, and everything that differs."""
    from approvals.cli import definitions

    definitions.list_(as_json=output is Format.JSON, url=url, key=key)


@definitions_app.command()
def accept(
    server: Annotated[str, typer.Argument(help="Of the list.")],
    tool: Annotated[str, typer.Argument(help="Of the list.")],
    yes: Yes = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show what differs, and let calls go on with it."""
    from approvals.cli import definitions

    definitions.accept(server, tool, yes=yes, url=url, key=key)


@db_app.command()
def upgrade() -> None:
    """Bring the database to this version's schema."""
    from approvals.cli import db

    db.upgrade()


@db_app.command()
def current() -> None:
    """The schema the database is at, and the one this version needs."""
    from approvals.cli import db

    db.current()


@db_app.command()
def after_restore() -> None:
    """Before the first start on a restored database: end what was open when it was backed up."""
    from approvals.cli import db

    db.after_restore()


@audit_app.command()
def verify(
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Read this database itself, without a service."),
    ] = None,
    output: Output = Format.TEXT,
    url: Url = None,
    key: Key = None,
) -> None:
    """Say whether everything is what was written, or name what was altered, is gone or moved."""
    from approvals.cli import audit

    if database is not None:
        audit.verify_database(database, as_json=output is Format.JSON)
    else:
        audit.verify(as_json=output is Format.JSON, url=url, key=key)


@audit_app.command()
def export(
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Such as 2026-11-20T14:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Else now.")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Write every event to standard output, one JSON object a line, oldest first."""
    from approvals.cli import audit

    audit.export(since=since, until=until, url=url, key=key)


def main() -> None:
    """Run; expected errors are one sentence on stderr and exit code 1."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BaseException as error:
        _end(error)
        raise


def _end(error: BaseException) -> None:
    """Exit where the error was expected. What knows them is imported only now."""
    if isinstance(error, SystemExit):
        return
    import asyncio

    from approvals.client import ApiError, Unreachable
    from approvals.errors import ApprovalsError

    if isinstance(error, asyncio.CancelledError):
        sys.exit(INTERRUPTED)
    if isinstance(error, ApprovalsError | ApiError | Unreachable):
        from approvals.cli.say import say, say_lines

        (say_lines if isinstance(error, ApprovalsError) else say)(str(error), err=True)
        sys.exit(1)
