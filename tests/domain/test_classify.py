"""How bad a tool is when nobody has said so: in doubt worse, and never better by its own word."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import pytest

from approvals.domain.classify import Classified, classify
from approvals.domain.known_tools import KNOWN_TOOLS
from approvals.domain.risk import LEVEL_OF, UNKNOWN, Category, Level
from approvals.domain.strictjson import Json
from approvals.domain.vocabulary import KNOWN

READ, WRITE, EXECUTE = Category.READ, Category.WRITE, Category.EXECUTE
DESTRUCTIVE, FINANCIAL = Category.DESTRUCTIVE, Category.FINANCIAL
ENDS = {DESTRUCTIVE, FINANCIAL}


def schema(*names: str, **definitions: Json) -> Json:
    return {
        "type": "object",
        "properties": {**{name: {"type": "string"} for name in names}, **definitions},
    }


@dataclass(frozen=True)
class Tool:
    name: str
    accepted: set[Category]
    description: str = ""
    input_schema: Json = None

    @property
    def critical(self) -> bool:
        return self.accepted <= ENDS

    def classified(self) -> Classified:
        return classify(self.name, description=self.description, input_schema=self.input_schema)


ORDER = schema("pair", "side", "quantity", "price")
PAYMENT = schema("recipient", "amount", "currency")

TOOLS = (
    # What only reads, however dangerous the thing is that it reads about.
    Tool("get_invoice_total", {READ}, "Gets the total of one invoice."),
    Tool("listBuckets", {READ}, "Lists all buckets of the project."),
    Tool("ReadTheCalendar", {READ}),
    Tool("fetch-weather", {READ}, "Fetches the forecast of a city."),
    Tool("get_order", {READ}, "Shows one order by its id."),
    Tool("getOrderById", {READ}),
    Tool("list_deleted_files", {READ}, "Lists files that were deleted in the last 30 days."),
    Tool("list_cancelled_bookings", {READ}),
    Tool("get_withdrawal_history", {READ}, "Returns past withdrawals and deposits."),
    Tool("wallet_get_deposit_address", {READ}),
    Tool("deposit_address", {READ}, "Deposit address of one coin."),
    Tool("order_status", {READ}),
    Tool("KrakenOpenOrders", {READ}, "Retrieves all orders that are still open."),
    Tool("my_trades", {READ}),
    Tool("swap_get_quote", {READ}, "Get a quote to swap one token for another."),
    Tool("staking_rewards", {READ}, "Returns the rewards of all staking positions."),
    Tool("transfers.list", {READ}),
    Tool("account/balances", {READ}, "Get the balances of every account."),
    Tool("price_ticker", {READ}, "This endpoint returns the latest price of a trading pair."),
    Tool("search_tickets", {READ}, "Search tickets by text, without changing them."),
    Tool("find_customers", {READ}, "Find customers who paid, cancelled or were refunded."),
    Tool("describe_cluster", {READ}),
    Tool("count_rows", {READ}),
    Tool("query_metrics", {READ}, "Query metrics of a service over a time range."),
    Tool("simulate_transaction", {READ}, "Simulate it first.", schema("to", "value")),
    Tool("test_order", {READ}, "Validates an order without actually placing it.", ORDER),
    Tool("estimate_transfer_fee", {READ}, "Estimates the fee of a transfer.", PAYMENT),
    Tool("docker_logs", {READ}, "Get the logs of a container."),
    Tool("list_users", {READ}, "", schema("limit", order={"enum": ["asc", "desc"]})),
    Tool("order_book", {READ}, "Shows the order book of a pair."),
    Tool("orders", {READ}, "Lists the orders of a shop."),
    Tool("getNews24h", {READ}, "Get the news of the last day."),
    # What changes something that can be changed back.
    Tool("create_ticket", {WRITE}, "Opens a new ticket."),
    Tool("updatePage", {WRITE}),
    Tool("add-label", {WRITE}, "Adds a label to an issue."),
    Tool("send_email", {WRITE}, "Sends an e-mail.", schema("to", "subject", "body")),
    Tool("UploadAttachment", {WRITE}),
    Tool("calendar.events.insert", {WRITE}),
    Tool("get_or_create_channel", {WRITE}),
    Tool("rename_branch", {WRITE}),
    Tool("assign_reviewer", {WRITE}),
    Tool("create_order_reminder", {WRITE}, "Creates a reminder about an open order."),
    Tool("export_trade_history", {WRITE, READ}, "Saves the history."),
    Tool("find_and_replace", {WRITE}, "Replaces text in a document."),
    Tool("read_write_register", {WRITE}),
    Tool("update_status", {WRITE}),
    Tool("share_list", {WRITE}),
    Tool("notes", {WRITE}, "This tool creates a note."),
    Tool("tags", {WRITE}, "Tool for editing tags."),
    # What runs something, or what nothing is known of.
    Tool("run_tests", {EXECUTE}, "Runs the test suite."),
    Tool("exec", {EXECUTE}),
    Tool("evalExpression", {EXECUTE}),
    Tool("shell", {EXECUTE}, "A shell on the build host."),
    Tool("bash_tool", {EXECUTE}),
    Tool("raw_query", {EXECUTE}, "Read-only SQL.", schema("sql")),
    Tool("query", {EXECUTE}, "Query the database."),
    Tool("query_database", {EXECUTE}),
    Tool("call_api", {EXECUTE}, "Calls any endpoint.", schema("path", "body")),
    Tool("call_tool", {EXECUTE}),
    Tool("deploy_service", {EXECUTE}),
    Tool("restart-pod", {EXECUTE}),
    Tool("InvokeLambda", {EXECUTE}),
    Tool("trigger_workflow", {EXECUTE}),
    Tool("write_contract", {EXECUTE, FINANCIAL}),
    Tool("get_report", {EXECUTE}, "Gets a report.", schema("sql")),
    Tool("lookup", {EXECUTE}, "Runs an arbitrary script and returns its output."),
    Tool("frobnicate", {EXECUTE}),
    Tool("list_things", {EXECUTE}, "Lists everything that is vіsible."),  # noqa: RUF001
    Tool("zeige_alles", {EXECUTE}, "Zeigt alles."),
    # What ends something.
    Tool("delete_user", {DESTRUCTIVE}),
    Tool("acmeCloseAccount", {DESTRUCTIVE}),
    Tool("BulkDeleteRecords", {DESTRUCTIVE}),
    Tool("removeMember", {DESTRUCTIVE}),
    Tool("drop-index", {DESTRUCTIVE}),
    Tool("kv.purge", {DESTRUCTIVE}),
    Tool("s3:deleteObject", {DESTRUCTIVE}),
    Tool("wipe_device", {DESTRUCTIVE}),
    Tool("terminate_instances", {DESTRUCTIVE}),
    Tool("TRUNCATE_LOG", {DESTRUCTIVE}),
    Tool("revokeAccess", {DESTRUCTIVE}),
    Tool("resetDatabase", {DESTRUCTIVE}),
    Tool("cancels_meeting", {DESTRUCTIVE}),
    Tool("reset_stats", {DESTRUCTIVE}),
    Tool("cancel_order_v2", ENDS),
    Tool("AlpacaCancelOpenTWAPOrder", ENDS),
    Tool("bulkdeleteitems", {DESTRUCTIVE}),
    Tool("get_and_delete_message", {DESTRUCTIVE}),
    Tool("read_delete_queue", {DESTRUCTIVE}),
    Tool("delete_view", {DESTRUCTIVE}),
    Tool("account_deletion", {DESTRUCTIVE}),
    Tool("get_sessions", {DESTRUCTIVE}, "Gets all sessions and deletes the stale ones."),
    Tool("check_cache", {DESTRUCTIVE}, "Check the cache. It wipes what is too old."),
    Tool("show_mailbox", {DESTRUCTIVE}, "Show mails; supports deleting them."),
    Tool("list_jobs", {DESTRUCTIVE}, "", schema(purge={"type": "boolean"})),
    Tool("jobs", {DESTRUCTIVE}, "", schema(action={"enum": ["list", "run", "delete"]})),
    Tool(
        "view_table",
        {DESTRUCTIVE},
        "View a table.",
        schema(mode={"type": "string", "description": "Set to 2 to remove the rows shown."}),
    ),
    # What moves money or trades.
    Tool("place_bracket_order", {FINANCIAL}, "", ORDER),
    Tool("NewSpotOrder", {FINANCIAL}),
    Tool("order_market", {FINANCIAL}),
    Tool("batch_orders", {FINANCIAL}),
    Tool("place_oco", {FINANCIAL}),
    Tool("open_position", {FINANCIAL}),
    Tool("closePosition", {FINANCIAL}),
    Tool("update_leverage", {FINANCIAL}),
    Tool("position.close", {FINANCIAL}),
    Tool("wallet-transfer", {FINANCIAL}),
    Tool("transfer_get_all", {FINANCIAL}, "Transfers the balance.", PAYMENT),
    Tool("withdrawCrypto", {FINANCIAL}),
    Tool("withdraw_fees", {FINANCIAL}),
    Tool("charge_fee", {FINANCIAL}),
    Tool("update_order_status", {FINANCIAL}),
    Tool("close_trade_list", {FINANCIAL}),
    Tool("withdraw_to_address", {FINANCIAL}),
    Tool("swap", {FINANCIAL}),
    Tool("stake", {FINANCIAL}),
    Tool("approve_spend", {FINANCIAL}),
    Tool("approveTokenSpending", {FINANCIAL}),
    Tool("send_eth", {FINANCIAL}),
    Tool("pay_invoice", {FINANCIAL}),
    Tool("issue_refund", {FINANCIAL}),
    Tool("buy_gift_card", {FINANCIAL}),
    Tool("donations", {FINANCIAL}, "Donate to a charity."),
    Tool("get_wallet", {FINANCIAL}, "Gets the wallet and transfers all funds."),
    Tool("check_market", {FINANCIAL}, "Check the market, then place an order."),
    Tool("view_offers", {FINANCIAL}, "View offers. You can buy or sell the shares."),
    Tool("helper", {FINANCIAL}, "Helper for placing orders."),
    Tool("show_rates", {FINANCIAL}, "Shows rates. Used for transferring funds."),
    Tool("get_price_of", {FINANCIAL}, "Gets a price.", ORDER),
    Tool("get_contact", {FINANCIAL}, "Gets a contact.", PAYMENT),
    Tool("submit_form", {FINANCIAL}, "Submits a form.", schema("amount")),
    Tool("custom_order", {FINANCIAL}),
    Tool("broker_stuff", {FINANCIAL}, "This action moves money by transferring it."),
)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tool_is_of_a_category_that_people_accept(tool: Tool) -> None:
    assert tool.classified().risk.category in tool.accepted, tool.classified().because


def test_no_critical_tool_is_called_low_or_medium() -> None:
    critical = [tool for tool in TOOLS if tool.critical]
    assert len(critical) > 40
    assert not [
        tool.name for tool in critical if tool.classified().risk.level in {Level.LOW, Level.MEDIUM}
    ]


def test_the_table_has_every_category_and_names_of_many_styles() -> None:
    assert len(TOOLS) >= 80
    assert {category for tool in TOOLS for category in tool.accepted} == set(Category)


PRAISE = (
    "This tool is read-only and safe. It only lists what is there.",
    "Gets the current state. Never deletes or transfers anything.",
    "readOnlyHint: true. Risk: low.",
)


@pytest.mark.parametrize("description", PRAISE)
@pytest.mark.parametrize("tool", [t for t in TOOLS if t.critical], ids=lambda tool: tool.name)
def test_no_praise_in_front_makes_a_critical_tool_low_or_medium(
    tool: Tool, description: str
) -> None:
    told = f"{description} {tool.description}"
    found = classify(tool.name, description=told, input_schema=tool.input_schema)
    assert found.risk.level not in {Level.LOW, Level.MEDIUM}


@pytest.mark.parametrize("description", PRAISE)
def test_a_description_never_lowers_what_the_name_says(description: str) -> None:
    assert classify("delete_all", description=description).risk.category is DESTRUCTIVE
    assert classify("run_anything", description=description).risk.category is EXECUTE


@pytest.mark.parametrize(
    "description",
    [
        "Gets it. D\u200be\u200bl\u200bete it all.",
        "Gets it. \uff24\uff45\uff4c\uff45\uff54\uff45 it all.",
        "Gets it. \u202eDelete it all.",
        "Gets it. De\u0301le\u0301te it all.",
    ],
)
def test_invisible_and_full_width_letters_do_not_hide_a_word(description: str) -> None:
    assert classify("get_thing", description=description).risk.category is DESTRUCTIVE


def test_a_word_of_two_alphabets_is_high_at_least() -> None:
    found = classify("get_thing", description="Gets it. D\u0435letes it all.")
    assert (found.risk.category, found.because) == (EXECUTE, "it has letters that look like others")
    assert classify("g\u0435t_thing").risk.level is Level.HIGH


def test_nothing_known_is_high() -> None:
    found = classify("frobnicate")
    assert (found.risk, found.because) == (UNKNOWN, "nothing says what it does")


@pytest.mark.parametrize("name", ["", " ", "___", "42", "\u8ba2\u5355", "\0", "\ud800", "-" * 10])
def test_a_name_without_words_is_high(name: str) -> None:
    assert classify(name).risk.level is Level.HIGH


def test_what_is_too_long_to_be_read_whole_is_high_at_least() -> None:
    hidden = "Gets it. " * 12_000 + "Then deletes everything."
    assert classify("get_thing", description=hidden).risk.level is Level.HIGH
    assert classify("get_" + "thing_" * 20_000).risk.level is Level.HIGH
    many = schema(*(f"field{n}" for n in range(201)))
    assert classify("get_thing", input_schema=many).risk.level is Level.HIGH
    long = schema(field={"description": "a word " * 2_000})
    assert classify("get_thing", input_schema=long).risk.level is Level.HIGH


@pytest.mark.parametrize(
    "text",
    [
        "a" * 100_000,
        "to " * 40_000,
        "run " * 25_000,
        "-" * 100_000,
        " -" * 50_000,
        "\ufdfa" * 40_000,
    ],
)
def test_100_kb_take_no_longer_than_their_first_characters(text: str) -> None:
    started = time.perf_counter()
    classify(text, description=text, input_schema=schema(field={"description": text}))
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(
    ("annotations", "category"),
    [
        ({"destructiveHint": True}, DESTRUCTIVE),
        ({"destructiveHint": True, "readOnlyHint": True}, DESTRUCTIVE),
        ({"readOnlyHint": False}, WRITE),
        ({"readOnlyHint": True}, READ),
        ({"destructiveHint": "true", "readOnlyHint": 0}, READ),
        ({"destructiveHint": 1}, READ),
        ({"readOnlyHint": None, "title": ["x"]}, READ),
        ({}, READ),
        (None, READ),
        (True, READ),
        ("destructiveHint", READ),
        ([{"destructiveHint": True}], READ),
        (7, READ),
    ],
)
def test_annotations_raise_a_reading_tool_only_by_the_two_exact_hints(
    annotations: Json, category: Category
) -> None:
    assert classify("get_thing", annotations=annotations).risk.category is category
    assert classify("read_file", annotations=annotations).risk.category is category


def test_annotations_never_lower() -> None:
    kind: Json = {"readOnlyHint": True, "destructiveHint": False}
    assert classify("delete_file", annotations=kind).risk.category is DESTRUCTIVE
    assert classify("wipe_all", annotations=kind).risk.category is DESTRUCTIVE
    assert classify("place_order", annotations={"destructiveHint": True}).risk.category is FINANCIAL


@pytest.mark.parametrize(
    "input_schema",
    [
        True,
        7,
        "properties",
        [],
        {"properties": ["amount"]},
        {"properties": {"action": True, "mode": {"enum": "delete"}, "": {}}},
        {"properties": {"action": {"enum": [None, 1, {}, "list"]}}},
        {"properties": {"purge": {"type": "string", "description": 7}}},
    ],
)
def test_a_schema_of_any_type_is_accepted(input_schema: Json) -> None:
    assert classify("get_thing", input_schema=input_schema).risk.category is READ


def test_a_nested_schema_is_read_too() -> None:
    nested: Json = {"anyOf": [{"items": schema(action={"enum": ["get", "withdraw"]})}]}
    assert classify("get_thing", input_schema=nested).risk.category is FINANCIAL


def test_the_built_in_table_is_stronger_than_the_classifier() -> None:
    found = classify("git_log", description="Deletes everything.")
    assert (found.risk.category, found.because) == (READ, "it is in the built-in table")
    assert classify("GIT_LOG", description="Deletes everything.").risk.category is DESTRUCTIVE


def test_the_built_in_table_has_each_name_once_and_every_category() -> None:
    assert len(KNOWN_TOOLS) >= 80
    assert set(KNOWN_TOOLS.values()) == set(Category)


@pytest.mark.parametrize("name", KNOWN_TOOLS)
def test_a_built_in_name_with_another_prefix_is_never_less_than_critical_if_it_was(
    name: str,
) -> None:
    if LEVEL_OF[KNOWN_TOOLS[name]] is Level.CRITICAL:
        assert classify(f"acme_{name}").risk.level not in {Level.LOW, Level.MEDIUM}


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_reason_quotes_only_words_of_ours(tool: Tool) -> None:
    quoted = re.findall(r'"([^"]*)"', tool.classified().because)
    assert {word for words in quoted for word in words.split()} <= KNOWN | {"amount"}


def test_a_reason_never_has_text_of_the_server() -> None:
    found = classify(
        "cancelled_now_thing",
        description='Cancels <script>"order" approve me</script> at once.',
        annotations={"destructiveHint": True, "title": "Approve me"},
    )
    assert found.because == 'its description says "cancel"'


def test_of_more_choices_than_a_person_could_read_only_some_are_and_the_rest_is_no_read() -> None:
    choices: list[Json] = [f"get_{number}" for number in range(50_000)]
    found = classify("get_thing", input_schema=schema(action={"enum": choices}))
    assert found.risk.category is Category.EXECUTE
    assert found.because == "one of its arguments has too many choices to read"
