"""The user channel: each API key's own orders and trades. Nothing is replayed; a bad key closes the socket."""

from __future__ import annotations

import msgspec

from polyhost.exchange.api import UserOrder, UserTrade
from polyhost.exchange.server.accounts import Label, order_event, trade_event
from polyhost.exchange.server.jsons import encode
from polyhost.exchange.server.keys import Keyring
from polyhost.exchange.server.sockets import CLOSE_AUTH, Socket


class UserAuth(msgspec.Struct):
    apiKey: str = ""  # noqa: N815 the wire's own name
    secret: str = ""
    passphrase: str = ""


class UserRequest(msgspec.Struct):
    """What a client says on the user channel."""

    type: str = ""
    operation: str = ""
    auth: UserAuth | None = None
    markets: list[str] | None = None


class UserHub:
    """Sockets by API key, each with the markets it wants (None: all)."""

    def __init__(self, ring: Keyring, label: Label) -> None:
        self._ring = ring
        self._label = label
        self._owners: dict[Socket, str] = {}
        self._markets: dict[Socket, set[str] | None] = {}
        self._decoder = msgspec.json.Decoder(UserRequest)

    def leave(self, socket: Socket) -> None:
        self._owners.pop(socket, None)
        self._markets.pop(socket, None)

    def heard(self, socket: Socket, text: str) -> None:
        """Obey a client's frame. The first must show valid credentials, or the socket is closed."""
        try:
            request = self._decoder.decode(text)
        except msgspec.DecodeError:
            socket.close(CLOSE_AUTH)
            return
        if socket not in self._owners:
            self._admit(socket, request)
            return
        wanted = self._markets.get(socket)
        named = {market.lower() for market in request.markets or ()}
        if request.operation == "subscribe":
            self._markets[socket] = (wanted or set()) | named if wanted is not None else None
        elif request.operation == "unsubscribe" and wanted is not None:
            self._markets[socket] = wanted - named

    def _admit(self, socket: Socket, request: UserRequest) -> None:
        auth = request.auth
        known = None if auth is None else self._ring.matches(auth.apiKey, auth.secret, auth.passphrase)
        if known is None:
            socket.close(CLOSE_AUTH)
            return
        self._owners[socket] = known.api_key
        # An absent or empty list means every market of the key.
        self._markets[socket] = {market.lower() for market in request.markets} if request.markets else None

    def _audience(self, owner: str, condition_id: str) -> list[Socket]:
        found = []
        for socket, key in self._owners.items():
            wanted = self._markets[socket]
            if key == owner and (wanted is None or condition_id.lower() in wanted):
                found.append(socket)
        return found

    def order(self, told: UserOrder, now: int) -> None:
        audience = self._audience(told.owner, told.order.row.condition_id)
        if audience:
            frame = encode(order_event(told.order, now))
            for socket in audience:
                socket.send(frame)

    def trade(self, told: UserTrade, now: int) -> None:
        audience = self._audience(told.owner, told.trade.row.condition_id)
        if audience:
            frame = encode(trade_event(told.trade, told.owner, self._label, now))
            for socket in audience:
                socket.send(frame)
