"""`${VAR}` and `${file:PATH}`: how a secret gets into the configuration without standing in it.

Only values of `env` and `headers` and secrets of channels are expanded. What comes out is put
nowhere but where it is used: no problem, repr or hash has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from approvals.domain.display import visible

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from approvals.domain.policy.reading import Place

MAX_SECRET_FILE = 64 * 1024

_FORM = re.compile(r"\$\{([^{}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KIND = re.compile(r"([A-Za-z_][A-Za-z0-9_]*):")
_MEANT = "write ${NAME} for a variable of the environment, or ${file:PATH} for a file"


class _Unusable(Exception):
    """The message continues the sentence "<pointer> …"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Expansion:
    """Where variables and files come from; paths are relative to `folder`."""

    folder: Path
    environ: Mapping[str, str] = field(repr=False)

    def text(self, place: Place) -> str | None:
        """The text at `place` with every form expanded; None when a problem is recorded."""
        text = place.text()
        if text is None:
            return None
        parts = _FORM.split(text)
        if any("${" in plain for plain in parts[::2]):
            place.wrong(f"has a ${{ without its }}; {_MEANT}")
            return None
        expanded = [self._form(part, place) if at % 2 else part for at, part in enumerate(parts)]
        known = [part for part in expanded if part is not None]
        return "".join(known) if len(known) == len(expanded) else None

    def _form(self, inside: str, place: Place) -> str | None:
        try:
            if inside.startswith("file:"):
                return self._file(inside.removeprefix("file:"))
            if _VARIABLE.fullmatch(inside):
                return self._variable(inside)
            raise _Unusable(_not_a_form(inside))
        except _Unusable as problem:
            place.wrong(str(problem))
            return None

    def _variable(self, name: str) -> str:
        found = self.environ.get(name)
        if found is None:
            raise _Unusable(f"names the variable {name}, which is not set in the environment")
        return found

    def _file(self, name: str) -> str:
        shown = f"names the file {visible(name)}, which"
        try:
            with (self.folder / name).open("rb") as file:
                raw = file.read(MAX_SECRET_FILE + 1)
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise _Unusable(f"{shown} is not UTF-8") from None
        except OSError as error:
            raise _Unusable(f"{shown} cannot be read ({error.strerror})") from None
        except ValueError:
            raise _Unusable(f"{shown} is no path") from None
        if len(raw) > MAX_SECRET_FILE:
            raise _Unusable(f"{shown} is larger than 64 KiB")
        return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")


def refuse_forms(place: Place) -> bool:
    """Whether a text holds `${`, which means nothing there; that is a problem."""
    meant = isinstance(place.value, str) and "${" in place.value
    if meant:
        place.wrong(
            "has a ${, which is expanded only in `env` and `headers` values and in secrets; write "
            "the text out"
        )
    return meant


def _not_a_form(inside: str) -> str:
    """What follows a colon may be a secret, so it is not repeated."""
    kind = _KIND.match(inside)
    shown = f"${{{kind[1]}:…}}" if kind else "${…}"
    if kind and inside.startswith("input:"):
        return f"has {shown}, and nobody can be asked here; {_MEANT}"
    if kind and inside.startswith("env:"):
        return f"has {shown}, a form of other programs; write ${{NAME}}"
    if kind:
        return f"has {shown}, and there are no defaults and no such kind; {_MEANT}"
    return f"has {shown} with no name of a variable in it; {_MEANT}"
