"""How bad an unknown tool may be, guessed from what its server says, and in doubt worse.

The words of vocabulary.py are weighed, not understood. A description may raise what the name
says and never lower it; where neither says anything the tool is UNKNOWN (POLICY.md, "Risk").
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from approvals.domain import vocabulary as known
from approvals.domain.known_tools import KNOWN_TOOLS
from approvals.domain.risk import LEVEL_OF, Category, Level, Risk, risk_of
from approvals.domain.vocabulary import MAX_TEXT, Word, words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from approvals.domain.strictjson import Json

    _Property = tuple[str, dict[str, Json]]

MAX_CHOICES = 200
MAX_NAME = 200
MAX_PROPERTIES = 200
# How many words around a verb are looked at, so that a long clause takes linear time.
NEAR = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Classified:
    """A risk, and why it was found; `because` has words of this module only, none of a server."""

    risk: Risk
    because: str


def classify(
    name: str, *, description: str = "", input_schema: Json = None, annotations: Json = None
) -> Classified:
    """The built-in table, else the worst that name, description and schema say.

    Annotations raise the result and never lower it. Accepts anything a server may send; reads
    at most 4000 characters of each text and 200 properties, and calls what goes beyond high.
    """
    if listed := KNOWN_TOOLS.get(name):
        found = _Finding(listed, "it is in the built-in table")
    else:
        found = _judged(name, description, input_schema)
    worst = _worst([found, *_hinted(annotations)])
    return Classified(risk=risk_of(worst.category), because=worst.because)


class _Finding(NamedTuple):
    category: Category
    because: str


_BADNESS = {category: list(Level).index(LEVEL_OF[category]) for category in Category}
_UNKNOWN = _Finding(Category.EXECUTE, "nothing says what it does")


def _worst(findings: Iterable[_Finding]) -> _Finding:
    return max(findings, key=lambda found: _BADNESS[found.category])


def _hinted(annotations: Json) -> Iterator[_Finding]:
    if not isinstance(annotations, dict):
        return
    if annotations.get("destructiveHint") is True:
        yield _Finding(Category.DESTRUCTIVE, "its server says that it is destructive")
    if annotations.get("readOnlyHint") is False:
        yield _Finding(Category.WRITE, "its server says that it does not only read")


def _judged(name: str, description: str, schema: Json) -> _Finding:
    words = words_of(name[:MAX_NAME])
    properties = list(islice(_properties(schema), MAX_PROPERTIES + 1))
    found = [
        *(list(_of_name(words)) or _hunch(words)),
        *_of_text(description),
        *_of_schema(properties),
        *_unreadable(name, description, properties),
    ]
    if not any(word.base in known.REHEARSALS for word in words):
        harmless = bool(found) and _worst(found).category is Category.READ
        found += _of_amounts({name for name, _ in properties}, reads=harmless)
    return _worst(found or [_UNKNOWN])


def _unreadable(name: str, description: str, properties: Sequence[_Property]) -> Iterator[_Finding]:
    """What cannot be weighed is high at least: it may say anything."""
    if len(name) > MAX_NAME or len(properties) > MAX_PROPERTIES:
        yield _Finding(Category.EXECUTE, "its name or schema is too long to be read whole")
    if len(description) > MAX_TEXT or len(_texts_of(properties)) > MAX_TEXT:
        yield _Finding(Category.EXECUTE, "its description is too long to be read whole")
    if not name.isascii() or known.is_disguised(description):
        yield _Finding(Category.EXECUTE, "it has letters that look like others")


def _of_name(words: Sequence[Word]) -> Iterator[_Finding]:
    """Each part of `get_and_delete` by itself."""
    start = 0
    for end in [*(i for i, word in enumerate(words) if word.text in known.JOINTS), len(words)]:
        yield from _of_phrase(words[start:end])
        start = end + 1


def _of_phrase(words: Sequence[Word]) -> Iterator[_Finding]:
    reader = next((i for i, word in enumerate(words) if known.reads(word, words)), None)
    deeds = [i for i in range(len(words)) if _is_named_deed(i, words, reader)]
    firm = [i for i in deeds if words[i].base not in known.NOUNS]
    if any(known.is_raw_query(word, words) for word in words):
        yield _Finding(Category.EXECUTE, 'its name says "query" and not of what')
    if reader is not None and not deeds:
        yield _says("name", Category.READ, words[reader])
    elif not firm and known.is_record(words):
        yield _Finding(Category.READ, "its name is that of a record")
    else:
        for i in firm or deeds:
            yield _deed("name", words[i], [*words[:i], *words[i + 1 :]])


def _is_named_deed(i: int, words: Sequence[Word], reader: int | None) -> bool:
    word = words[i]
    texts = {other.text for other in words}
    if word.base == "order":
        first = i == 0 and word.ending == "" and "book" not in texts
        return reader is None and (first or not texts.isdisjoint(known.KINDS))
    if word.category in {None, Category.READ} or not word.plain:
        return False
    if reader is not None and i > reader:
        alone = i == reader + 1 and word.base in known.SECOND
        return (alone or word.base in known.BLUNT) and texts.isdisjoint(known.RECORDS)
    if word.base not in known.NOUNS:
        return not known.is_listed(words[i:])
    kept = reader is not None and words[reader].base in known.ASKING
    return word.ending == "" and not (kept and word.base in known.FILED)


def _says(source: str, category: Category, *words: Word) -> _Finding:
    quoted = " ".join(word.base for word in words)
    return _Finding(category, f'its {source} says "{quoted}"')


def _deed(source: str, deed: Word, others: Sequence[Word]) -> _Finding:
    """To create is one thing, to create an order another."""
    category = deed.category or Category.FINANCIAL  # only "order" is no verb by itself
    harmless = bool(others) and others[-1].base in known.PAPER
    if category not in {Category.WRITE, Category.EXECUTE} or harmless:
        return _says(source, category, deed)
    prized = known.MONEY | known.COINS if deed.base in known.GIVING else known.MONEY
    for other in others:
        if (deed.base, other.text) == ("close", "account"):
            return _says(source, Category.DESTRUCTIVE, deed, other)
        if other.base in prized and (other.plain or other.base == "spend"):
            return _says(source, Category.FINANCIAL, deed, other)
        if other.base in known.PROGRAMS:
            return _says(source, Category.EXECUTE, deed, other)
    return _says(source, category, deed)


def _of_text(text: str, *, reading: bool | None = None) -> Iterator[_Finding]:
    """What is said first, and whatever else that is critical.

    `reading` is whether the text is about what is there, known from its first verb unless given.
    """
    for words in known.clauses_of(text):
        for i in range(len(words)):
            if _is_told_deed(i, words, reading=bool(reading)):
                found = _deed("description", words[i], _object(words[i + 1 : i + NEAR]))
                if reading is None or _is_critical(found):
                    yield found
                if reading is None:
                    reading = found.category is Category.READ


def _is_critical(found: _Finding) -> bool:
    return LEVEL_OF[found.category] is Level.CRITICAL


def _object(words: Sequence[Word]) -> Sequence[Word]:
    """The words up to the first preposition: of "a quote for a trade" only the quote."""
    end = next((i for i, word in enumerate(words) if word.text in known.PREPOSITIONS), len(words))
    return words[:end]


def _is_told_deed(i: int, words: Sequence[Word], *, reading: bool) -> bool:
    word, before = words[i], [earlier.text for earlier in words[max(0, i - 3) : i]]
    if word.category is None or any(t in known.NEGATIONS or t.endswith("n't") for t in before):
        return False
    if word.ending == "ing":
        return _is_gerund_deed(i, words, reading=reading)
    if not word.plain or _is_noun(i, words, reading=reading):
        return False
    return word.base in known.BLUNT or _stands_as_verb(i, words)


def _is_gerund_deed(i: int, words: Sequence[Word], *, reading: bool) -> bool:
    """ "by transferring" and "for placing orders", not "trading pair" and "before paying"."""
    before = words[i - 1].text if i else ""
    if words[i].text in known.TRADES or before in known.BESIDE:
        return False
    if words[i].base in known.BLUNT or before == "by":
        return True
    if not reading:
        return before in {"", "for"}
    prized = any(word.base in known.OBJECTS | known.MONEY for word in words[i + 1 : i + 3])
    return prized and not _reads_before(i, words)


def _is_noun(i: int, words: Sequence[Word], *, reading: bool) -> bool:
    """Whether a word that may be either is a noun here, by what follows it."""
    word, following = words[i], words[i + 1 : i + 3]
    noun, deal = word.base in known.NOUNS, word.base in known.FINANCIAL and not word.ending
    if not (noun or (reading and deal)) or any(w.base in known.OBJECTS for w in following[:1]):
        return False
    ends = known.PREPOSITIONS if reading and (noun or i > 0) else known.JOINTS
    return (
        not following
        or following[0].text in ends
        or following[0].base in known.NOUNS
        or any(other.text in known.RECORDS | known.MEASURES for other in following)
    )


def _stands_as_verb(i: int, words: Sequence[Word]) -> bool:
    near = [word.text for word in words[max(0, i - NEAR) : i] if not word.text.endswith("ly")]
    if not near:
        return True
    if near[-1] == "to" and _reads_before(i, words):
        return False
    if words[i].base in known.NOUNS:
        acts = words[i + 1].base in known.OBJECTS  # "and transfers all funds"
        leaders = known.BEFORE_PLAIN if acts or not words[i].ending else frozenset()
        return near[-1] in (leaders | known.BEFORE_S if words[i].ending else leaders)
    return near[-1] in known.BEFORE_S | known.BEFORE_PLAIN


def _reads_before(i: int, words: Sequence[Word]) -> bool:
    """In "get a quote to convert" the second verb is what for, not what."""
    return any(word.category is Category.READ for word in words[max(0, i - NEAR) : i])


def _properties(schema: Json) -> Iterator[_Property]:
    stack = [schema]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            named = node.get("properties")
            for name, definition in named.items() if isinstance(named, dict) else ():
                yield name, definition if isinstance(definition, dict) else {}
            stack.extend(node.values())


def _of_schema(properties: Sequence[_Property]) -> Iterator[_Finding]:
    yield from filter(_is_critical, _of_text(_texts_of(properties), reading=True))
    for name, definition in properties:
        words = words_of(name)
        if name.lower() in known.CODE:
            yield _Finding(Category.EXECUTE, "its arguments include code")
        if words and words[0].base in known.BLUNT and definition.get("type") == "boolean":
            yield _says("argument", Category.DESTRUCTIVE, words[0])
        if name.lower() in known.CHOICES:
            yield from _of_choices(definition.get("enum"))


def _of_choices(choices: Json) -> Iterator[_Finding]:
    """A tool that can do several things is its worst; one that can also read says little."""
    given = choices if isinstance(choices, list) else []
    if len(given) > MAX_CHOICES:
        yield _Finding(Category.EXECUTE, "one of its arguments has too many choices to read")
    for choice in given[:MAX_CHOICES]:
        for found in _of_name(words_of(str(choice)[:MAX_NAME])):
            if found.category is not Category.READ:
                yield found


def _texts_of(properties: Sequence[_Property]) -> str:
    """With a word before each, for such a text begins with a noun: "Transfer type"."""
    texts = (definition.get("description") for _, definition in properties)
    return "\n".join(f"its {text}" for text in texts if isinstance(text, str))


def _of_amounts(names: Iterable[str], *, reads: bool) -> Iterator[_Finding]:
    flat = {"_".join(word.text for word in words_of(name)) for name in names}
    if "side" in flat and not flat.isdisjoint(known.SIZES):
        yield _Finding(Category.FINANCIAL, "its arguments are those of an order")
    if not flat.isdisjoint(known.RECEIVERS) and not flat.isdisjoint({"amount", "value"}):
        yield _Finding(Category.FINANCIAL, "its arguments are those of a payment")
    if "amount" in flat and not reads:
        yield _Finding(Category.FINANCIAL, 'its arguments include an "amount"')


def _hunch(words: Sequence[Word]) -> Iterator[_Finding]:
    """Where the name has no verb, one order or position is worse than none: `custom_order`."""
    if known.RECORDS.isdisjoint(word.text for word in words) and words[-1:] != words_of("book"):
        yield from (_says("name", Category.FINANCIAL, w) for w in words if w.text in known.MONEY)
