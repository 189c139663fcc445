"""Values that are shown nowhere they could be copied on: by path, and by their name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.domain.policy.paths import Path, read_path
from approvals.domain.redact import (
    HIDDEN,
    MAX_PLACES,
    hidden_places,
    is_secret,
    redacted,
    values_at,
)
from approvals.domain.strictjson import Json, canonical
from approvals.domain.summary import summarize
from tests.domain.builders import approval, call


def paths(*texts: str) -> list[Path]:
    found = [read_path(text) for text in texts]
    return [path for path in found if path is not None]


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Password",
        "PASSWORD",
        "passwords",
        "user_password",
        "userPassword",
        "password2",
        "pass-word",
        "passWord",
        "pass_phrase",
        "secret",
        "client.secret",
        "clientSecret",
        "AWS_SECRET_ACCESS_KEY",
        "token",
        "accessToken",
        "access_tokens",
        "ID_TOKEN",
        "idToken",
        "apiKey",
        "APIKey",
        "APIKEY",
        "APIkey",
        "PRIVATEkey",
        "ACCESStoken",
        "token_1",
        "token2",
        "access_token_2",
        "privKey",
        "encryptionkey",
        "hmac_key",
        "account_key",
        "clientsecret",
        "dbpassword",
        "pin",
        "card_pin",
        "pass",
        "dbPass",
        "api key",
        "X-API-Key",
        "binance_api_key_2",
        "private_key",
        "privateKeyPem",
        "sshKey",
        "seedPhrase",
        "Authorization",
        "set-cookie",
        "otp",
        "cvv",
    ],
)
def test_the_name_of_a_secret_is_known_however_it_is_spelled(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "_",
        "symbol",
        "key",
        "keys",
        "secretary",
        "passenger",
        "compass",
        "bypass",
        "monkey",
        "api",
        "apiVersion",
        "keyApi",
        "tokens",
        "max_tokens",
        "map_pin_id",
        "pass_through",
        "maxTokens",
        "input_tokens",
        "next_page_token",
        "continuationToken",
        "tokenizer",
        "token_count",
        "public_key",
        "author",
        "größe",
    ],
)
def test_other_names_hide_nothing(name: str) -> None:
    assert not is_secret(name)


def test_a_secret_is_found_by_its_name_at_any_depth() -> None:
    arguments: dict[str, Json] = {
        "user": {"name": "a", "password": {"old": 1, "new": 2}},
        "rows": [{"n": 1}, {"apiKey": "k"}],
        "a/b~c": {"token": "t"},
    }
    places = hidden_places(arguments, [])
    assert places == ("/user/password", "/rows/1/apiKey", "/a~1b~0c/token")
    assert redacted(arguments, places) == {
        "user": {"name": "a", "password": HIDDEN},
        "rows": [{"n": 1}, {"apiKey": HIDDEN}],
        "a/b~c": {"token": HIDDEN},
    }


@pytest.mark.parametrize(
    ("path", "arguments", "places"),
    [
        ("args.a", {"a": 1}, ("/a",)),
        ("args.a", {"b": 1}, ()),
        ("args.a.b", {"a": {"b": 1, "c": 2}}, ("/a/b",)),
        ("args.a[1]", {"a": [1, 2, 3]}, ("/a/1",)),
        ("args.a[5]", {"a": [1]}, ()),
        ("args.a[*]", {"a": [1, 2]}, ("/a/0", "/a/1")),
        ("args.a[*]", {"a": []}, ()),
        ("args.a[*].x", {"a": [{"x": 1}, {"y": 2}, {"x": 3}]}, ("/a/0/x", "/a/2/x")),
        ("args.a", {"A": 1, "a": 2}, ("/A", "/a")),
        ("args.a/b~c", {"a/b~c": 1}, ("/a~1b~0c",)),
        # Through a value of another kind the path cannot be followed: in doubt it is hidden whole.
        ("args.a.b", {"a": "text"}, ("/a",)),
        ("args.a.b", {"a": None}, ("/a",)),
        ("args.a.b", {"a": [{"b": 1}]}, ("/a",)),
        ("args.a[0]", {"a": {"0": 1}}, ("/a",)),
        ("args.a[*]", {"a": {"0": 1}}, ("/a",)),
        ("args.a[*]", {"a": "text"}, ("/a",)),
        ("args.a[*].b", {"a": [1, {"b": 2}]}, ("/a/0", "/a/1/b")),
    ],
)
def test_a_path_hides_what_it_leads_to_and_in_doubt_more(
    path: str, arguments: dict[str, Json], places: tuple[str, ...]
) -> None:
    assert hidden_places(arguments, paths(path)) == places


def test_a_value_that_is_hidden_twice_is_one_place() -> None:
    assert hidden_places({"token": "t"}, paths("args.token")) == ("/token",)


def test_of_too_many_places_the_whole_argument_is_hidden() -> None:
    arguments: dict[str, Json] = {"a": [{"token": "t"}] * MAX_PLACES, "b": 1}
    assert len(hidden_places(arguments, [])) == MAX_PLACES
    more: dict[str, Json] = {**arguments, "c": {"token": "t"}}
    assert hidden_places(more, []) == ("/a", "/c")


def test_nothing_hidden_is_shown_as_it_is() -> None:
    arguments: Json = {"a": [1, {"b": None}]}
    assert redacted(arguments, ()) == arguments
    assert redacted(arguments, ("/elsewhere",)) == arguments


def test_the_values_at_hidden_places_can_be_revealed() -> None:
    arguments: dict[str, Json] = {"a/b~c": [{"token": "t"}, 1], "x": None}
    pointers = ("/a~1b~0c/0/token", "/a~1b~0c/1", "/x")
    assert values_at(arguments, pointers) == dict(zip(pointers, ["t", 1, None], strict=True))


NAMES = st.sampled_from(["a", "b/c", "d~e", "token", "Password", "max_tokens"])
VALUES = st.recursive(
    st.just("SECRET-VALUE"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, database=None)
@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_every_place_exists_and_what_is_hidden_is_gone_from_the_copy(
    arguments: dict[str, Json],
) -> None:
    places = hidden_places(arguments, paths("args.a[*].token", "args.b/c"))
    assert set(values_at(arguments, places)) == set(places)
    shown = redacted(arguments, places)
    assert isinstance(shown, dict)
    assert all(
        values_at(shown, [place]) == {place: HIDDEN}
        for place in places
        if place in _outermost(places)
    )


def _outermost(places: tuple[str, ...]) -> set[str]:
    return {p for p in places if not any(p.startswith(f"{q}/") for q in places)}


def test_neither_summary_nor_approval_show_a_hidden_value() -> None:
    secret = call({"symbol": "BTC", "api_key": "k-123", "nested": {"token": "t-456"}}, tool="t")
    hidden = hidden_places(secret.shown_arguments, [])
    for template in (None, "Use {api_key} and {nested}"):
        line = summarize(secret, secret.shown_arguments, template=template, hidden=hidden)
        assert HIDDEN in line
        assert "k-123" not in line
        assert "t-456" not in line
    shown = approval(call=secret, hidden=hidden).shown_arguments
    assert canonical(shown) == (
        '{"api_key":"[hidden]","nested":{"token":"[hidden]"},"symbol":"BTC"}'
    )
    assert list(shown) == ["symbol", "api_key", "nested"]


def test_long_names_on_the_way_to_many_values_hide_the_whole_argument_instead() -> None:
    arguments: dict[str, Json] = {"a": {"k" * 500: [{"pwd": 1}] * 40}, "b": 1}
    assert hidden_places(arguments, []) == ("/a",)
