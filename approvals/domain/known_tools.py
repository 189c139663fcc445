"""Well-known public MCP tools by their exact names.

A name stands here only if it means the same on every server that offers it: `search` may be
anything, `git_status` may not.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from approvals.domain.risk import Category

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = {
    Category.READ: """
        git_status git_log git_diff git_diff_staged git_diff_unstaged git_show git_blame
        read_file read_text_file read_media_file read_multiple_files read_graph
        list_directory list_directory_with_sizes list_allowed_directories directory_tree
        get_file_info search_files
        get_file_contents get_issue get_pull_request get_pull_request_files get_commit
        get_pull_request_comments get_pull_request_reviews get_pull_request_status get_me
        list_issues list_commits list_branches list_tags list_pull_requests
        list_code_scanning_alerts search_code search_issues search_repositories search_users
        slack_list_channels slack_get_channel_history slack_get_thread_replies
        slack_get_users slack_get_user_profile
        search_nodes open_nodes
        list_tables describe_table list_schemas
        browser_snapshot browser_take_screenshot browser_console_messages
        browser_network_requests puppeteer_screenshot
        brave_web_search brave_local_search get_current_time convert_time
        get_balance get_ticker get_orderbook get_klines get_open_orders get_order_history
        get_positions get_exchange_rate
        list_customers list_payment_intents retrieve_balance
        """,
    Category.WRITE: """
        git_add git_commit git_checkout git_create_branch git_init
        write_file edit_file create_directory move_file
        create_issue update_issue add_issue_comment create_branch create_repository
        fork_repository create_pull_request create_pull_request_review merge_pull_request
        update_pull_request_branch create_or_update_file push_files create_gist
        slack_post_message slack_reply_to_thread slack_add_reaction
        create_entities create_relations add_observations
        create_customer create_product create_coupon
        """,
    Category.EXECUTE: """
        execute_sql run_sql execute_query run_query apply_migration
        browser_evaluate browser_run_code browser_click browser_type browser_fill_form
        browser_navigate browser_press_key browser_file_upload browser_handle_dialog
        puppeteer_evaluate puppeteer_click puppeteer_fill puppeteer_navigate puppeteer_select
        run_command execute_command run_shell_command run_terminal_cmd run_script
        execute_code run_python run_workflow kubectl_apply kubectl_generic
        """,
    Category.DESTRUCTIVE: """
        git_reset git_clean
        close_account delete_file delete_directory delete_repository delete_branch remove_file
        delete_entities delete_observations delete_relations
        drop_table drop_database truncate_table kubectl_delete
        cancel_subscription delete_customer
        """,
    Category.FINANCIAL: """
        place_order create_order new_order modify_order cancel_order cancel_all_orders
        place_market_order place_limit_order place_stop_order create_market_order
        create_limit_order cancel_replace_order close_position close_all_positions
        set_leverage set_margin_mode withdraw transfer_funds universal_transfer
        create_payment create_payment_intent create_payout create_refund create_charge
        send_payment send_transaction swap_tokens stake_tokens
        """,
}

KNOWN_TOOLS: Mapping[str, Category] = MappingProxyType(
    {name: category for category, names in _NAMES.items() for name in names.split()}
)
