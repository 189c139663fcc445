"""The words of tools' names and descriptions, by what they do, and how they are found in a text.

For tools that the built-in table does not have; classify.py weighs them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from approvals.domain.risk import Category

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_TEXT = 4000

_NAME_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_CLAUSE = re.compile(r"[^\w\s'-]+|\n|\s-+\s")
_TEXT_WORD = re.compile(r"\w[\w'-]*")
# A Cyrillic or Greek letter beside a Latin one is there to be overlooked.
_DISGUISED = re.compile(
    r"[a-zA-Z][\u0370-\u058f\u13a0-\u13ff]|[\u0370-\u058f\u13a0-\u13ff][a-zA-Z]"
)


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


READ = _set(
    """get list read fetch show search find describe view count check lookup retrieve query inspect
    browse monitor tail explain preview estimate simulate calculate compare diff validate verify
    analyze summarize ping echo decode parse return display test ls grep whoami peek discover
    screenshot decompile audit"""
)
WRITE = _set(
    """create add update edit set put post write insert upsert save send upload download export
    rename move copy commit push merge fork comment reply react assign label tag enable disable
    toggle subscribe unsubscribe invite archive close open import sync publish register submit
    schedule pin mark star follow join leave restore lock unlock request share notify new place
    change modify append patch replace accept adjust make attach link convert extend increase
    decrease renew resolve pause resume configure initiate complete confirm batch amend reject
    generate draft clone refresh rotate unassign unfollow unpin mute unmute dismiss hide block
    unblock suspend activate deactivate detach decline promote fulfill reserve authorize"""
)
EXECUTE = _set(
    """run exec execute eval evaluate invoke call shell bash command terminal sql script deploy
    start stop restart launch trigger install spawn dispatch connect scale navigate click press
    fill apply sign vote rollback reboot provision approve grant process perform broadcast
    build compile train shutdown halt mount inject migrate"""
)
DESTRUCTIVE = _set(
    """delete remove destroy drop purge erase wipe truncate uninstall kill terminate clear revoke
    prune unlink rm rmdir del discard cancel flush reset overwrite trash evict undo abort rid
    expunge obliterate nuke void nullify invalidate annul decommission deprovision teardown
    ban kick empty clean
    deletion removal cancellation termination destruction"""
)
FINANCIAL = _set(
    """withdraw withdrawal pay payout payment refund charge buy sell purchase swap stake unstake
    redeem redemption liquidate borrow repay lend invest donate deposit remit bridge bid checkout
    transfer trade tip settle settlement claim airdrop mint wrap unwrap exchange spend rebalance
    delegate undelegate reimburse topup leverage oco"""
)
VERBS = (
    dict.fromkeys(READ, Category.READ)
    | dict.fromkeys(WRITE, Category.WRITE)
    | dict.fromkeys(EXECUTE, Category.EXECUTE)
    | dict.fromkeys(DESTRUCTIVE, Category.DESTRUCTIVE)
    | dict.fromkeys(FINANCIAL, Category.FINANCIAL)
)
# Verbs that are nouns as well, so their place decides: `order_status`, `swap_get_quote`.
NOUNS = _set(
    """order oco trade transfer swap stake deposit withdraw withdrawal payment payout refund charge
    exchange settlement redemption purchase checkout convert bid claim post comment commit tag
    label fork star pin schedule link share copy request batch script command sql trigger call
    start change mint bridge cancellation deletion update shell terminal process
    deploy run vote tip delegate wrap unwrap reset borrow leverage
    undo removal termination destruction empty build clone draft screenshot audit"""
)
# To act on one of these is to act on money: `create_order`, `set_leverage`, `open_position`.
MONEY = (NOUNS & FINANCIAL) | _set(
    """order twap position margin loan bet fund money gift spend sale
    resale auction subscription invoice allowance
    collateral loss profit"""
)
# Coins are also API tokens and map pins: only to give them away counts.
COINS = _set("token coin eth btc sol bnb usdc usdt nft crypto fiat usd asset transaction quote")
GIVING = _set("send submit broadcast approve accept sign convert execute process confirm")
# A note about an order is a note.
PAPER = _set(
    """note comment questionnaire alert reminder report template webhook label tag history
    statistics stats summary info"""
)
# After one of the nouns these make a record of it: `withdraw_history`. Exact forms on purpose:
# `trade_fee` is asked for, `withdraw_fees` takes them; `order_limit` places one.
RECORDS = _set(
    """history status list log logs info information detail details address addresses
    fee rate rates limits quota summary volume types type id ids count statistics
    stats schema quote quotes estimate snapshot permission permissions news"""
)
# Right after a reading verb a deed of its own: `read_write_file`; not `get_open_interest`.
SECOND = _set("write edit execute eval insert upsert create replace modify save send")
# What these stand before is listed, not done: `my_trades`.
WHOSE = _set("my recent historical current open active past pending available")
# Only beside the word "order" do these place one: `order_market`, `batch_orders`.
KINDS = _set("market limit stop batch conditional trailing bracket twap")
# The nouns that are filed and looked up under their own name; `reset_list` and `charge_fee` act.
FILED = _set(
    """order oco trade transfer deposit withdraw withdrawal payment payout settlement redemption
    exchange swap stake borrow comment commit request build deploy cancellation deletion"""
)
# These undo what a noun before them seems to do: `transfer_get`, but not `deposit_check`.
ASKING = _set("get list read fetch show search find describe lookup retrieve query view")
# A rehearsal takes the arguments of the deed: `simulate_transaction`, `get_transfer_quote`.
REHEARSALS = _set("test simulate estimate preview validate calculate quote verify decode check")
# What is acted on, so the word before is a verb: "transfer the funds".
OBJECTS = COINS | _set(
    """the all any your a an it its them everything money fund this that user users"""
)
# The same of numbers: "transfer amount".
MEASURES = _set(
    """amount amounts price prices fees date dates time availability direction method value balance
    currency period side symbol pair pairs transactions updates code codes request requests
    quantity network window status limit quotas data orders position"""
)
DATABASES = _set("sql db database raw graphql cypher postgres mysql sqlite mongodb bigquery")
JOINTS = _set("and or then plus")
PREPOSITIONS = JOINTS | _set(
    """for to from in on with by at under into using via as when if that which between across
    before after per out about"""
)
BEFORE_PLAIN = JOINTS | _set("to will can may must should also users you")
BEFORE_S = _set("it this that which tool api endpoint function method action call also")
NEGATIONS = _set("not never without cannot no instead how avoid nothing")
# A gerund after one of these sets a time or a topic: "before deleting", "history of cancelling".
BESIDE = NEGATIONS | _set("before after when while of")
# Gerunds that name a business rather than a deed: "trading pair", "staking rewards".
TRADES = _set("trading staking lending borrowing spending buying selling charging exchanging")
# Verbs that are hardly ever nouns, so they count wherever a text says them.
BLUNT = _set(
    "delete remove destroy erase wipe purge truncate uninstall rid expunge obliterate nuke"
)
# Found inside words written together too: `cancelorder`, `bulkdelete`.
GLUED = ("delete", "destroy", "withdraw", "transfer", "cancel", "remove", "purge", "placeorder")
CODE = _set("sql command cmd script shell bash javascript python")
CHOICES = _set("action operation op method mode command")
SIZES = _set("quantity qty amount size")
RECEIVERS = _set("to recipient to_address to_account to_email destination payee beneficiary")
PROGRAMS = _set("contract cron crontab")
KNOWN = frozenset(VERBS) | NOUNS | MONEY | COINS | RECORDS | PAPER | KINDS | PROGRAMS | {"account"}


class Word(NamedTuple):
    text: str
    base: str
    ending: str

    @property
    def category(self) -> Category | None:
        return VERBS.get(self.base)

    @property
    def plain(self) -> bool:
        """Neither `deleted` nor `deleting`."""
        return self.ending in {"", "s"}


def _word(text: str) -> Word:
    if text in KNOWN:
        return Word(text, text, "")
    for ending in ("s", "es", "ed", "ing"):
        for base in _bases(text.removesuffix(ending)) if text.endswith(ending) else ():
            if base in KNOWN:
                return Word(text, base, "s" if ending == "es" else ending)
    glued = GLUED if text.isalpha() else ()
    return Word(text, next((verb for verb in glued if verb in text), text), "")


def _bases(stem: str) -> tuple[str, ...]:
    """Of `cancell`, `clos` and `appli`: cancel, close and apply."""
    undoubled = stem[:-1] if stem[-2:-1] == stem[-1:] else stem
    return (stem, f"{stem}e", undoubled, re.sub("i$", "y", stem))


def words_of(name: str) -> list[Word]:
    """`BinanceSpotCancelTWAPOrder` and `binance.spot-cancel_twap:order` in words."""
    return [_word(text.lower()) for text in _NAME_WORD.findall(_visible(name))]


def clauses_of(text: str) -> Iterator[list[Word]]:
    """The words between one punctuation mark and the next, of the first 4000 characters."""
    for clause in _CLAUSE.split(_visible(text).lower().replace("/", " or ")):
        yield [_word(found) for found in _TEXT_WORD.findall(clause)]


def is_raw_query(word: Word, words: Sequence[Word]) -> bool:
    """`query` and `query_database`, not `query_balance`."""
    alone = len(words) == 1 or any(other.text in DATABASES for other in words)
    return alone and word.base == "query"


def reads(word: Word, words: Sequence[Word]) -> bool:
    return word.category is Category.READ and word.plain and not is_raw_query(word, words)


def is_listed(words: Sequence[Word]) -> bool:
    """`open_orders`, `my_trades`, not `open_position`."""
    return words[0].text in WHOSE and any(
        word.ending == "s" or word.text in RECORDS for word in words[1:]
    )


def is_record(words: Sequence[Word]) -> bool:
    """`withdraw_history`, not `withdraw_to_address`."""
    if any(word.text in PREPOSITIONS for word in words):
        return False
    nouns = [i for i, word in enumerate(words) if word.base in NOUNS]
    filed = bool(nouns) and all(words[i].base in FILED or words[i].ending for i in nouns)
    kept = filed and any(word.text in RECORDS for word in words[nouns[-1] + 1 :])
    return kept or any(is_listed(words[i:]) for i in range(len(words)))


def is_disguised(text: str) -> bool:
    """Whether letters of two alphabets stand in one word."""
    return bool(_DISGUISED.search(text[:MAX_TEXT]))


def _visible(text: str) -> str:
    """Full-width letters, accents and invisible characters hide a word from us, not from people."""
    plain = unicodedata.normalize("NFKD", text[:MAX_TEXT]).replace("\u2019", "'")
    return "".join(c for c in plain if unicodedata.category(c) not in {"Cf", "Mn"})
