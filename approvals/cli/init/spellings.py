"""How clients spell what they all mean: comments in JSON, kinds of `${…}`, Codex's words."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from approvals.domain.strictjson import parse
from approvals.errors import ConfigurationInvalid, InvalidJson

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from approvals.domain.strictjson import Json

_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])')
_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-[^{}]*)?\}")
_ASKED = re.compile(r"\$\{input:([^{}]+)\}")


def read_json(path: Path) -> Json:
    """JSON as editors accept it, with comments and a comma before an end.

    Raises ConfigurationInvalid.
    """
    try:
        text = path.read_bytes().removeprefix(codecs.BOM_UTF8).decode("utf-8")
        return parse(_TRAILING.sub(_blank, _COMMENT.sub(_blank, text)).encode())
    except UnicodeDecodeError:
        raise ConfigurationInvalid(str(path), ["is not UTF-8"]) from None
    except OSError as error:
        raise ConfigurationInvalid(str(path), [f"cannot be read ({error.strerror})"]) from None
    except InvalidJson as error:
        said = str(error).replace("The body", "the file")
        raise ConfigurationInvalid(str(path), [said]) from None


def in_our_words(entry: Mapping[str, Json]) -> dict[str, Json]:
    """The same entry with `env` and `headers` alone, and `${NAME}` as the one kind of `${…}`."""
    env = {**_passed(entry.get("env_vars")), **_texts(entry, "env")}
    headers = {**_texts(entry, "headers"), **_texts(entry, "http_headers")}
    headers |= {name: f"${{{v}}}" for name, v in _texts(entry, "env_http_headers").items()}
    if "bearer_token_env_var" in entry:
        headers["Authorization"] = f"Bearer ${{{entry['bearer_token_env_var']}}}"
    said = {"env": _plain(env), "headers": _plain(headers)}
    return {**entry, **{key: texts for key, texts in said.items() if texts}}


def is_off(entry: Mapping[str, Json]) -> bool:
    """Whether the client is told not to start it."""
    return entry.get("disabled") is True or entry.get("enabled") is False


def _blank(found: re.Match[str]) -> str:
    return found[1] or " " * len(found[0])


def _texts(entry: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    found = entry.get(key)
    return found if isinstance(found, dict) else {}


def _passed(names: Json) -> Mapping[str, Json]:
    """Variables that Codex passes on under their own names."""
    return {str(name): f"${{{name}}}" for name in names} if isinstance(names, list) else {}


def _plain(texts: Mapping[str, Json]) -> dict[str, Json]:
    return {
        name: _ASKED.sub(_asked, _VARIABLE.sub(r"${\1}", text)) if isinstance(text, str) else text
        for name, text in texts.items()
    }


def _asked(found: re.Match[str]) -> str:
    """Nobody can be asked here; a variable has to be set."""
    return f"${{{re.sub(r'[^A-Z0-9]+', '_', found[1].upper()).strip('_')}}}"
