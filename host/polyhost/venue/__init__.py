"""The ways to the outside: the venue's gateway and streams (polymarket/), Binance spot prices, and the venue's clock.

Everything arrives as events or by callbacks; nothing here keeps an order's state or decides anything.
"""
