"""How the environment says how this service is known to Slack."""

from __future__ import annotations

import pytest

from approvals.config.settings import read_settings
from approvals.errors import ConfigurationInvalid

TOKEN = {"APPROVALS_SLACK_BOT_TOKEN": "xoxb-1-2-abc"}


def test_without_anything_there_is_no_slack() -> None:
    assert read_settings({}).slack is None


def test_the_app_is_named_by_its_token_or_by_its_id() -> None:
    over_socket = read_settings(
        {**TOKEN, "APPROVALS_SLACK_APP_TOKEN": "xapp-1-A012345-9-abc"}
    ).slack
    assert over_socket is not None
    assert (over_socket.app_id, over_socket.signing_secret) == ("A012345", None)
    signed = read_settings(
        {**TOKEN, "APPROVALS_SLACK_SIGNING_SECRET": "s3", "APPROVALS_SLACK_APP_ID": "A0999"}
    ).slack
    assert signed is not None
    assert (signed.app_id, signed.signing_secret, signed.app_token) == ("A0999", "s3", None)
    assert signed.base_url == "https://slack.com/api/"
    assert not any(secret in repr(signed) for secret in ("xoxb", "s3"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (TOKEN, "APPROVALS_SLACK_SIGNING_SECRET (clicks over HTTP) or APPROVALS_SLACK_APP_TOKEN"),
        ({**TOKEN, "APPROVALS_SLACK_SIGNING_SECRET": "s"}, "APPROVALS_SLACK_APP_ID is needed"),
        ({"APPROVALS_SLACK_SIGNING_SECRET": "s"}, "APPROVALS_SLACK_BOT_TOKEN is needed"),
        ({"APPROVALS_SLACK_BOT_TOKEN": "xapp-1"}, "must be a token that begins with xoxb-"),
        ({"APPROVALS_SLACK_APP_TOKEN": "xoxb-1"}, "must be a token that begins with xapp-"),
        ({"APPROVALS_SLACK_SIGNING_SECRET": "a b"}, "must be one word of ASCII"),
        ({"APPROVALS_SLACK_APP_ID": "T01"}, "must be the id of the Slack app"),
    ],
)
def test_what_is_missing_or_wrong_is_said(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        read_settings(given)
    assert said in str(caught.value)
    assert "xoxb-1-2" not in str(caught.value)
