"""The outcome table: what every answer to a post, a cancel or a query means, as data.

A refusal is only what proves that the order is not there (order-rules.md U3): a parsed 4xx that names a rule. Whatever
is not in the table is *unknown*, never a guess. Sources: error texts of docs.polymarket.com resources/error-codes (read
2026-11) and of polymarket-client 0.14.0.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"
UNKNOWN: Final = "unknown"
NO_ANSWER: Final = 0
"""Stands for the HTTP status when there was no HTTP answer."""


class Answer(Struct, frozen=True):
    """One answer, as the client saw it.

    ``http`` is the status, 0 when no HTTP answer came (``text`` says why: ``transport``, ``malformed`` …).
    ``status`` is the order's word in a 200 body (live, matched, delayed, unmatched).
    """

    http: int
    text: str = ""
    status: str = ""
    retry_after_s: float = 0.0
    """When the venue says that it may be asked again, seconds from now; 0: it did not say."""


class Row(Struct, frozen=True):
    """One row: the answers it covers and their meaning.

    ``http`` None covers any status; ``text`` is contained, ignoring case; ``status`` empty covers any.
    """

    code: str
    http: int | None
    text: str
    meaning: str
    remedy: str
    status: str = ""
    blocks: str = ""
    """What it stops besides the order: a cause of the table in docs/blocks.md."""
    example: str = ""
    """A text as the venue writes it; empty: ``text`` is one already."""

    def covers(self, answer: Answer) -> bool:
        return (
            (self.http is None or self.http == answer.http)
            and (not self.status or self.status == answer.status)
            and self.text.lower() in answer.text.lower()
        )

    @property
    def sample(self) -> Answer:
        """An answer that this row is for."""
        return Answer(418 if self.http is None else self.http, self.example or self.text, self.status)


_ASK = "asked by its id until its fate is known; never signed again"
_FIX = "a fault of the order as built: look at the notice, the market is left alone"
_WAIT = "posted again only with a new decision, when the venue takes orders again"


def _refused(code: str, text: str, remedy: str = _FIX, *, example: str = "", blocks: str = "", http: int = 400) -> Row:
    return Row(code, http, text, REFUSED, remedy, example=example, blocks=blocks)


POST_ROWS: Final[tuple[Row, ...]] = (
    # --- accepted
    Row("live", 200, "", ACCEPTED, "rests", status="live"),
    Row("matched", 200, "", ACCEPTED, "its trades follow", status="matched"),
    Row("delayed", 200, "", ACCEPTED, "waits for its delay; cannot be cancelled meanwhile", status="delayed"),
    Row("unmatched", 200, "", UNKNOWN, _ASK, status="unmatched"),
    Row("duplicated", 400, "duplicated", ACCEPTED, "the venue holds these bytes already: presence is proved (U2)",
        example="order 0xab is invalid. Duplicated."),
    # --- funds: told apart (ORD-19); the most special text first
    _refused("funds_matched", "sum of matched orders", "the venue still counts earlier matches: again after 1, 2, 3 s",
             example="not enough balance / allowance: the balance is not enough -> balance: 5000000, "
                     "sum of matched orders: 5000000"),
    _refused("funds_active", "sum of active orders", "our own resting order holds them: cancel it first, then again",
             example="not enough balance / allowance: the balance is not enough -> balance: 5000000, "
                     "sum of active orders: 5000000"),
    _refused("allowance", "the allowance is not enough", "approve the exchange once: polyhost setup approvals",
             example="not enough balance / allowance: the allowance is not enough -> allowance: 0", blocks="approval"),
    _refused("balance", "the balance is not enough", "sells: the balance lags, again after 1, 2, 3 s; buys: add funds",
             example="not enough balance / allowance: the balance is not enough -> balance: 4893500, "
                     "order amount: 5000000"),
    _refused("funds", "not enough balance / allowance", "read the balance, then again after 1, 2, 3 s"),
    # --- the order breaks a rule
    _refused("tick", "breaks minimum tick size rule", "the tick changed: read the market again",
             example="order 0xab is invalid. Price (0.123) breaks minimum tick size rule: 0.01"),
    _refused("min_size", "lower than the minimum", example="order 0xab is invalid. Size (3) lower than the minimum: 5"),
    _refused("min_value", "invalid amount for a marketable", "worth less than the least marketable order",
             example="invalid amount for a marketable BUY order ($0.86), min size: $1"),
    _refused("precision", "invalid amounts", example="invalid amounts, the market buy orders maker amount supports a "
             "max accuracy of 2 decimals, taker amount a max of 4 decimals"),
    _refused("post_only_cross", "invalid post-only order", "the book moved: quoted again from the new book",
             example="invalid post-only order: order crosses book"),
    _refused("cross", "crosses the book", "the book moved: quoted again from the new book",
             example="order 0xab crosses the book"),
    _refused("fok_killed", "couldn't be fully filled", "killed whole; a new decision may try again",
             example="order couldn't be fully filled. FOK orders are fully filled or killed."),
    _refused("fak_killed", "no orders found to match with FAK order", "nothing to take at that price",
             example="no orders found to match with FAK order. FAK orders are partially filled or killed if no match "
                     "is found."),
    _refused("expiration", "invalid expiration", "GTD must end at least 61 s ahead of venue time"),
    _refused("nonce", "invalid nonce"),
    _refused("signature", "invalid signature", "wrong key or client: run polyhost doctor", blocks="signing"),
    _refused("version", "order_version_mismatch", "signed for a dead protocol version: install the pinned client",
             blocks="signing"),
    _refused("not_ready", "the market is not yet ready", _WAIT,
             example="the market is not yet ready to process new orders"),
    _refused("onchain_cancelled", "order canceled in the ctf exchange contract"),
    _refused("payload", "invalid order payload", example="Invalid order payload"),
    _refused("params", "invalid order params payload"),
    _refused("too_many", "too many orders in payload", example="Too many orders in payload: 16, max allowed: 15"),
    _refused("too_large", "payload exceeds the limit", example="Payload exceeds the limit"),
    _refused("order_id", "invalid orderid", example="Invalid orderID"),
    _refused("token", "invalid token id", example="Invalid token id"),
    _refused("side", "invalid side", example="Invalid side"),
    _refused("market", "invalid market", example="Invalid market"),
    _refused("invalid_payload", "invalid payload", example="Invalid payload"),
    # --- the account
    _refused("owner", "the order owner has to be the owner of the api key", "credentials of another key",
             example="the order owner has to be the owner of the API KEY", blocks="credentials"),
    _refused("signer", "the order signer address has to be the address of the api key", "credentials of another key",
             example="the order signer address has to be the address of the API KEY", blocks="credentials"),
    _refused("closed_only", "address in closed only mode", "the account may only close positions",
             example="'0xab' address in closed only mode", blocks="closed_only"),
    _refused("banned", "address banned", "the account is banned: ask the venue's support",
             example="'0xab' address banned", blocks="banned"),
    _refused("unauthorized", "invalid api key", "credentials are made anew at the next start",
             example="Unauthorized/Invalid api key", blocks="credentials", http=401),
    _refused("no_market", "market not found", "not at the order book yet: tried at the next decision", http=404),
    _refused("no_book", "no orderbook exists", "not at the order book yet: tried at the next decision",
             example="No orderbook exists for the requested token id", http=404),
    _refused("rate_limit", "", "posts pause for the time the venue names; cancels go first", http=429,
             blocks="rate_limit", example="Too Many Requests"),
    _refused("l1_headers", "invalid l1 request headers", "credentials are made anew at the next start",
             example="Invalid L1 Request headers", blocks="credentials", http=401),
    # --- the same as symbols (errorMsg of a 200; documentation only, never seen on the wire)
    _refused("symbol_tick", "invalid_order_min_tick_size", "the tick changed: read the market again",
             example="INVALID_ORDER_MIN_TICK_SIZE"),
    _refused("symbol_min_size", "invalid_order_min_size", example="INVALID_ORDER_MIN_SIZE"),
    _refused("symbol_funds", "invalid_order_not_enough_balance", "read the balance, then again after 1, 2, 3 s",
             example="INVALID_ORDER_NOT_ENOUGH_BALANCE"),
    _refused("symbol_expiration", "invalid_order_expiration", "GTD must end at least 61 s ahead of venue time",
             example="INVALID_ORDER_EXPIRATION"),
    _refused("symbol_post_only", "invalid_post_only_order", "the book moved: quoted again from the new book",
             example="INVALID_POST_ONLY_ORDER"),
    _refused("symbol_fok", "fok_order_not_filled_error", "killed whole; a new decision may try again",
             example="FOK_ORDER_NOT_FILLED_ERROR"),
    _refused("symbol_not_ready", "market_not_ready", _WAIT, example="MARKET_NOT_READY"),
    Row("symbol_error", 400, "invalid_order_error", UNKNOWN, _ASK, example="INVALID_ORDER_ERROR"),
    Row("symbol_execution", 400, "execution_error", UNKNOWN, _ASK, example="EXECUTION_ERROR"),
    Row("symbol_delayed", 400, "order_delayed", UNKNOWN, _ASK, example="ORDER_DELAYED"),
    Row("symbol_delaying", 400, "delaying_order_error", UNKNOWN, _ASK, example="DELAYING_ORDER_ERROR"),
    # --- the outcome is not known
    Row("match_delayed", 400, "order match delayed", UNKNOWN, _ASK,
        example="order match delayed due to market conditions"),
    Row("forbidden", 403, "", UNKNOWN, "blocked before the venue (place or network): run polyhost doctor",
        example="Request was blocked by Cloudflare with status 403", blocks="geoblock"),
    Row("restarting", 425, "", UNKNOWN, "the matching engine restarts: " + _ASK, blocks="restarting",
        example="matching engine restarting"),
    Row("no_match_500", 500, "there are no matching orders", UNKNOWN, _ASK),
    Row("fok_500", 500, "fok orders are filled or killed", UNKNOWN, _ASK, example="FOK orders are filled or killed"),
    Row("rounding_500", 500, "the trade contains rounding issues", UNKNOWN, _ASK),
    Row("discrepancy_500", 500, "discrepancy greater than allowed", UNKNOWN, _ASK,
        example="the price of the taker's order has a discrepancy greater than allowed with the worst maker order"),
    Row("server_error", 500, "", UNKNOWN, _ASK, example="Internal server error"),
    Row("post_only_mode", 503, "post-only mode", UNKNOWN, "after a restart: " + _ASK, blocks="post_only_mode",
        example="post-only mode: only post-only orders and cancels are allowed"),
    Row("cancel_only", 503, "cancel-only", UNKNOWN, "no new orders for now: " + _ASK, blocks="cancel_only",
        example="Trading is currently cancel-only. New orders are not accepted, but cancels are allowed."),
    Row("disabled", 503, "trading is currently disabled", UNKNOWN, "no orders and no cancels for now: " + _ASK,
        blocks="disabled", example="Trading is currently disabled. Check polymarket.com for updates"),
    Row("unavailable", 503, "", UNKNOWN, _ASK, blocks="unavailable", example="Service Unavailable"),
    Row("transport", NO_ANSWER, "transport", UNKNOWN, _ASK, example="transport: connection reset"),
    Row("malformed", NO_ANSWER, "malformed", UNKNOWN, _ASK, example="malformed: not JSON"),
    Row("other_id", NO_ANSWER, "other id", UNKNOWN, "the venue names another id than our hash: " + _ASK,
        example="other id: 0xcd", blocks="signing"),
    Row("silence", NO_ANSWER, "silence", UNKNOWN, _ASK),
    # --- refused by ourselves before anything was sent
    Row("budget", NO_ANSWER, "rate budget", REFUSED, "its turn within the rate limits did not come: nothing left this "
        "machine; " + _WAIT, example="rate budget: post (buy): not sent"),
    Row("not_sent", NO_ANSWER, "not sent", REFUSED, "the client refused it: nothing left this machine",
        example="not sent: post-only orders are only supported for GTC and GTD"),
    Row("unlisted", None, "", UNKNOWN, _ASK, example="something new"),
)
"""Answers to a post, most special first; the last row covers everything."""

CANCELED: Final = "canceled"
GONE: Final = "gone"
NOT_FOUND: Final = "not_found"
DELAYED: Final = "delayed"

CANCEL_ROWS: Final[tuple[Row, ...]] = (
    Row("canceled", 200, "", CANCELED, "proved by the stream or a query with the final size", status="canceled"),
    Row("already_gone", 200, "already canceled or matched", GONE, "presence is proved; asked for what it filled"),
    Row("matched", 200, "matched orders can't be canceled", GONE, "presence is proved; asked for what it filled"),
    Row("in_delay", 200, "delay", DELAYED, "cancelled again after its delay", example="order is delayed"),
    Row("not_found", 200, "not found", NOT_FOUND, "success of the command, never proof of the order's end",
        example="order not found"),
    Row("not_named", 200, "not named", UNKNOWN, "the answer did not name the order: asked by its id"),
    Row("bad_id", 400, "invalid orderid", NOT_FOUND, "success of the command", example="Invalid orderID"),
    Row("not_found_404", 404, "", NOT_FOUND, "success of the command, never proof of the order's end",
        example="order not found"),
    Row("rate_limit", 429, "", UNKNOWN, "again after the time the venue names", example="Too Many Requests"),
    Row("restarting", 425, "", UNKNOWN, "again after the restart", example="matching engine restarting"),
    Row("budget", NO_ANSWER, "rate budget", UNKNOWN, "not sent, because its turn within the rate limits did not come: "
        "again", example="rate budget: cancel (cancel): not sent"),
    Row("unauthorized", 401, "", UNKNOWN, "asked by its id; credentials are made anew at the next start",
        example="Unauthorized/Invalid api key"),
    Row("forbidden", 403, "", UNKNOWN, "blocked before the venue (place or network): run polyhost doctor",
        example="error code: 1010"),
    Row("disabled", 503, "trading is currently disabled", UNKNOWN, "asked by its id, then again every time it is due",
        example="Trading is currently disabled. Check polymarket.com for updates"),
    Row("server_error", 500, "", UNKNOWN, "asked by its id, then again", example="Internal server error"),
    Row("unavailable", 503, "", UNKNOWN, "asked by its id, then again", example="Service Unavailable"),
    Row("silence", NO_ANSWER, "silence", UNKNOWN, "asked by its id after 1.5 s, then again"),
    Row("transport", NO_ANSWER, "transport", UNKNOWN, "asked by its id, then again", example="transport: timeout"),
    Row("malformed", NO_ANSWER, "malformed", UNKNOWN, "asked by its id, then again", example="malformed: not JSON"),
    Row("unlisted", None, "", UNKNOWN, "asked by its id, then again", example="something new"),
)
"""Answers to a cancel (each order of a batch by itself)."""

FOUND: Final = "found"
ABSENT: Final = "absent"
FAILED: Final = "failed"

QUERY_ROWS: Final[tuple[Row, ...]] = (
    Row("found", 200, "", FOUND, "taken as fact", status="found"),
    Row("empty", 200, "", ABSENT, "proves nothing (U4)", status="empty"),
    Row("absent", 404, "", ABSENT, "expected for what does not exist (CON-05); proves nothing of an order",
        example="order not found"),
    Row("unauthorized", 401, "", FAILED, "credentials are made anew at the next start",
        example="Unauthorized/Invalid api key"),
    Row("rate_limit", 429, "", FAILED, "again after the time the venue names", example="Too Many Requests"),
    Row("restarting", 425, "", FAILED, "again after the restart", example="matching engine restarting"),
    Row("bad_request", 400, "", FAILED, "a fault of the question as asked: told; again on the query ladder",
        example="Invalid trade params payload"),
    Row("forbidden", 403, "", FAILED, "blocked before the venue (place or network): run polyhost doctor",
        example="error code: 1010"),
    Row("server_error", 500, "", FAILED, "again on the query ladder", example="Internal server error"),
    Row("unavailable", 503, "", FAILED, "again on the query ladder", example="Service Unavailable"),
    Row("silence", NO_ANSWER, "silence", FAILED, "again on the query ladder"),
    Row("transport", NO_ANSWER, "transport", FAILED, "again on the query ladder", example="transport: timeout"),
    Row("malformed", NO_ANSWER, "malformed", FAILED, "again on the query ladder", example="malformed: not JSON"),
    Row("unlisted", None, "", FAILED, "again on the query ladder", example="something new"),
)
"""Answers to a query."""

TABLES: Final[dict[str, tuple[Row, ...]]] = {"post": POST_ROWS, "cancel": CANCEL_ROWS, "query": QUERY_ROWS}


def classify(kind: str, answer: Answer) -> Row:
    """The first row of ``post``, ``cancel`` or ``query`` that covers the answer; there always is one.

    A 200 whose body is a refusal (``success: false``) means what the same text means as a 400.
    """
    rows = TABLES[kind]
    if kind == "post" and answer.http == 200 and answer.text:
        found = _first(rows, Answer(400, answer.text))
        return found if found.http == 400 else _first(rows, Answer(NO_ANSWER, "malformed: " + answer.text))
    return _first(rows, answer)


def _first(rows: tuple[Row, ...], answer: Answer) -> Row:
    return next(row for row in rows if row.covers(answer))


HEADING: Final = """# What the venue's answers mean

Generated (`python -m polyhost.venue.polymarket.outcomes > docs/order-outcomes.md`); a test compares the two. *Refused*
proves that the order is not at the venue, and only for bytes that were posted once; *unknown* is never guessed at: the
order's id is asked for until its fate is known ([order-rules.md](order-rules.md), U1 to U6). *Blocks* names what stops
besides the order itself, a cause of [blocks.md](blocks.md); exits and cancels never stop.

## Whichever client asks

There is one table for both clients (`[venue] client`): whatever a client makes of an answer is brought back to its HTTP
status and the venue's own words before it is looked up, and both pass the same tests
([decision](decisions/0017-the-second-client.md)).

| | `polymarket-client` | `py-clob-client-v2` |
| --- | --- | --- |
| what is read | status and text of its exception, else its answer | the HTTP answer itself |
| `not_sent` | it refuses what it is to build or sign (`UserInputError`) | it raises before its first request |
| `malformed` | `UnexpectedResponseError` | no JSON, or without the fields that say what became of it |
| `transport` | `TransportError`, which nothing proves | the error of our own connection, which nothing proves |
| pause of a 429, 425 or 503 | `retry_after` of its exception | the header `Retry-After`, which the client throws away |
| an answer to a match | when it comes | when it comes: the client's own waiting for the chain is cut out |
| a batch | one request | one for what is post-only and one for the rest: each part is answered, or unknown, by itself |
| merge, split, redeem | by itself | through the first client where that one works, else refused with the reason |

The client that does not trade stands by. It never posts: a second post of a lost order must not happen (U5). It sends a
cancel at once when the order client raises or is silent for 4 s, and after two cancels of an order in a row whose
meaning is *unknown*, unless the venue itself asked to wait (`rate_limit`, `restarting`, `budget`, `disabled`). What it
is told is read by the same table. After three sweeps or balances in a row that failed it reads them, too.
"""


def page() -> str:
    """The whole table as Markdown: docs/order-outcomes.md."""
    lines: list[str] = [HEADING]
    for kind, rows in TABLES.items():
        lines += [f"## {kind.capitalize()}", "", "| code | HTTP | text | meaning | blocks | what happens |",
                  "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
        for row in rows:
            http = "any" if row.http is None else "none" if row.http == NO_ANSWER else str(row.http)
            text = row.example or row.text or (f"status `{row.status}`" if row.status else "any")
            lines.append(
                f"| `{row.code}` | {http} | {text} | {row.meaning} | {row.blocks or '-'} | {row.remedy} |"
            )
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
