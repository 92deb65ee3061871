"""The market channel: who follows which token, and the frames they get. Each frame is encoded once for all of them.

Shapes: polymarket.md 7.1 and 7.2. ``best_bid_ask``, ``new_market`` and ``market_resolved`` go only to sockets that
asked for custom features.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from polyhost.exchange.api import MarketDecided, Printed, TickChanged
from polyhost.exchange.server.books import WireBook
from polyhost.exchange.server.catalogue import description, outcomes, question, rate_number, spread_text
from polyhost.exchange.server.jsons import encode
from polyhost.exchange.server.sockets import Socket
from polyhost.model.market import Market, normal_token
from polyhost.model.money import Ticks, price_text, size_text
from polyhost.model.words import Action, Side


class MarketRequest(msgspec.Struct):
    """What a client says on the market channel."""

    type: str = ""
    operation: str = ""
    assets_ids: list[str] = msgspec.field(default_factory=list)
    initial_dump: bool = True
    custom_feature_enabled: bool | None = None


Books = dict[str, WireBook]
"""By token id; both tokens of a market share one book."""


class MarketHub:
    """Subscriptions of the market channel."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._followers: dict[str, set[Socket]] = {}
        self._custom: set[Socket] = set()
        self._decoder = msgspec.json.Decoder(MarketRequest)
        self._best: dict[str, tuple[Ticks, Ticks]] = {}
        """Best prices told last, by condition id."""

    def leave(self, socket: Socket) -> None:
        self._custom.discard(socket)
        for token in [token for token, followers in self._followers.items() if socket in followers]:
            self._unfollow(socket, token)

    def heard(self, socket: Socket, text: str) -> None:
        """Obey a client's frame; one that is no request is answered by an error object, as at the venue."""
        try:
            request = self._decoder.decode(text)
        except msgspec.DecodeError:
            socket.send(b'{"error":"invalid message"}')
            return
        if request.custom_feature_enabled is not None:
            (self._custom.add if request.custom_feature_enabled else self._custom.discard)(socket)
        tokens = [normal_token(token) for token in request.assets_ids]
        if request.operation == "unsubscribe":
            for token in tokens:
                self._unfollow(socket, token)
        else:
            self._follow(socket, tokens, request.initial_dump)

    def _follow(self, socket: Socket, tokens: Iterable[str], dump: bool) -> None:
        frames = []
        for token in tokens:
            self._followers.setdefault(token, set()).add(socket)
            book = self._books.get(token)
            if book is not None:
                frames.append(book.frame(token))
        if dump and frames:
            socket.send(b"[" + b",".join(frames) + b"]")

    def _unfollow(self, socket: Socket, token: str) -> None:
        followers = self._followers.get(token)
        if followers is not None:
            followers.discard(socket)
            if not followers:
                del self._followers[token]

    def _audience(self, market: Market) -> set[Socket]:
        """Followers of either token."""
        followers = self._followers
        return followers.get(market.up, _NOBODY) | followers.get(market.down, _NOBODY)

    # --- what the market says -----------------------------------------------------------------------------------------

    def book_changed(self, book: WireBook, token: str, changes: Iterable[tuple[Action, Ticks, int]], now: int) -> None:
        """Levels changed; the wire book has them already."""
        audience = self._audience(book.market)
        if audience:
            frame = _price_change(book, token, changes, now)
            for socket in audience:
                socket.send(frame)
            self._best_changed(book, audience, now)

    def _best_changed(self, book: WireBook, audience: set[Socket], now: int) -> None:
        best = (book.best_bid, book.best_ask)
        condition = book.market.condition_id
        if not self._custom or self._best.get(condition) == best:
            return
        self._best[condition] = best
        for token in (book.market.up, book.market.down):
            followers = self._followers.get(token, _NOBODY) & self._custom
            if followers:
                frame = _best_bid_ask(book, token, now)
                for socket in followers:
                    socket.send(frame)

    def book_told(self, book: WireBook, token: str) -> None:
        """A full book is due (after trades)."""
        followers = self._followers.get(token)
        if followers:
            frame = book.frame(token)
            for socket in followers:
                socket.send(frame)

    def printed(self, printed: Printed, now: int) -> None:
        followers = self._followers.get(printed.token_id)
        if followers:
            frame = _last_trade(printed, now)
            for socket in followers:
                socket.send(frame)

    def tick_changed(self, changed: TickChanged, now: int) -> None:
        followers = self._followers.get(changed.token_id)
        if followers:
            frame = _tick_change(changed, now)
            for socket in followers:
                socket.send(frame)

    def market_opened(self, market: Market, ident: int, now: int) -> None:
        if self._custom:
            frame = _new_market(market, ident, now)
            for socket in self._custom:
                socket.send(frame)

    def market_decided(self, market: Market, ident: int, decided: MarketDecided, now: int) -> None:
        """Tell the market's followers; nothing more of it will come."""
        audience = self._audience(market) & self._custom
        if audience:
            frame = _resolved(market, ident, decided, now)
            for socket in audience:
                socket.send(frame)
        self._best.pop(market.condition_id, None)


_NOBODY: set[Socket] = set()


def _price_change(book: WireBook, token: str, changes: Iterable[tuple[Action, Ticks, int]], now: int) -> bytes:
    other = book.other(token)
    own_tail, other_tail = _change_tail(book, token), _change_tail(book, other)
    rows = []
    for action, price, size in changes:
        size_json = size_text(size)
        rows.append(
            f'{{"asset_id":"{token}","price":"{price_text(price)}","size":"{size_json}","side":"{action.value}",'
            f"{own_tail}"
        )
        mirrored = "SELL" if action is Action.BUY else "BUY"
        rows.append(
            f'{{"asset_id":"{other}","price":"{price_text(10_000 - price)}","size":"{size_json}","side":"{mirrored}",'
            f"{other_tail}"
        )
    return (
        f'{{"event_type":"price_change","market":"{book.market.condition_id}","price_changes":[{",".join(rows)}],'
        f'"timestamp":"{now}"}}'
    ).encode()


def _change_tail(book: WireBook, token: str) -> str:
    bid, ask = book.best(token)
    return f'"hash":"{book.hash(token)}","best_bid":"{price_text(bid)}","best_ask":"{price_text(ask)}"}}'


def _best_bid_ask(book: WireBook, token: str, now: int) -> bytes:
    bid, ask = book.best(token)
    return encode({
        "event_type": "best_bid_ask",
        "market": book.market.condition_id,
        "asset_id": token,
        "best_bid": price_text(bid),
        "best_ask": price_text(ask),
        "spread": spread_text(bid, ask),
        "timestamp": str(now),
    })


def _last_trade(printed: Printed, now: int) -> bytes:
    return encode({
        "event_type": "last_trade_price",
        "asset_id": printed.token_id,
        "market": printed.condition_id,
        "price": price_text(printed.price),
        "size": size_text(printed.size),
        "side": printed.action.value,
        "fee_rate_bps": "0",
        "timestamp": str(now),
        "transaction_hash": "",
    })


def _tick_change(changed: TickChanged, now: int) -> bytes:
    return encode({
        "event_type": "tick_size_change",
        "asset_id": changed.token_id,
        "market": changed.condition_id,
        "old_tick_size": price_text(changed.old),
        "new_tick_size": price_text(changed.new),
        "timestamp": str(now),
    })


def _event_message(market: Market, ident: int) -> dict[str, Any]:
    return {
        "id": str(ident),
        "ticker": market.slug,
        "slug": market.slug,
        "title": question(market),
        "description": description(market),
    }


def _new_market(market: Market, ident: int, now: int) -> bytes:
    return encode({
        "event_type": "new_market",
        "id": str(ident),
        "question": question(market),
        "market": market.condition_id,
        "slug": market.slug,
        "description": description(market),
        "assets_ids": [market.up, market.down],
        "outcomes": list(outcomes(market)),
        "event_message": _event_message(market, ident),
        "timestamp": str(now),
        "tags": ["up-or-down"] if market.start is not None else [],
        "condition_id": market.condition_id,
        "active": True,
        "clob_token_ids": [market.up, market.down],
        "order_price_min_tick_size": price_text(market.tick),
        "group_item_title": "",
        "sports_market_type": "",
        "line": "",
        "game_start_time": "",
        "taker_base_fee": "1000" if market.fees.rate else "0",
        "fees_enabled": market.fees.rate > 0,
        "fee_schedule": {"rate": rate_number(market), "exponent": market.fees.exponent, "takerOnly": True},
    })


def _resolved(market: Market, ident: int, decided: MarketDecided, now: int) -> bytes:
    body: dict[str, Any] = {
        "event_type": "market_resolved",
        "id": str(ident),
        "market": market.condition_id,
        "assets_ids": [market.up, market.down],
        "event_message": _event_message(market, ident),
        "timestamp": str(now),
        "tags": ["up-or-down"] if market.start is not None else [],
    }
    if decided.winner is not None:
        body["winning_asset_id"] = market.token(decided.winner)
        body["winning_outcome"] = outcomes(market)[0 if decided.winner is Side.UP else 1]
    return encode(body)
