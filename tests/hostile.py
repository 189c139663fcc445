"""Text that shipped approval tools let through to people: markup, links, hidden marks, escapes."""

from __future__ import annotations

STRINGS = {
    "markup": "<img src=x onerror=alert(1)><script>alert(2)</script>",
    "attribute": "\" onmouseover='alert(3)' x=\"",
    "template": "{{ 7*7 }}{% raw %}${7*7}",
    "backticks": "```\n*bold* <!channel> <@U024BE7LH>",
    "link": "[pay](https://evil.example/) https://evil.example/",
    "direction": "pay \u2067\u2066bob\u2069 to \u2066alice\u2069\u2069 \u202egnp.exe",
    "zero width": "pay\u200bpal\u200d\ufeff",
    "terminal": "\x1b[2J\x1b]0;owned\x07\x1b[31mred\x9b1A\rover\x08\x7f",
    "look-alike": "p\u0430yp\u0430l",
    "tag": "ok\U000e0041\U000e0042",
    "event": "one\r\ndata: two\n\nevent: x",
}
LONG = "x" * 20_000 + " and the harm at its end"
MANY = {f"key_{number:03d}": number for number in range(200)}


def hidden_in(text: str) -> set[str]:
    """The control, direction and zero-width characters that stand in `text` as they are."""
    allowed = {"\n"}
    return {
        character
        for character in text
        if character not in allowed
        and (
            ord(character) < 0x20
            or 0x7F <= ord(character) <= 0x9F
            or character in "\u200b\u200d\ufeff\u202e\u2066\u2067\u2069\U000e0041\U000e0042"
        )
    }
