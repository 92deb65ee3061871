"""Polymarket: ``gateway`` (orders, queries), ``streams`` (market, user, prices), ``discovery`` (windows, results).

Pure parts beside them: ``outcomes`` (what answers mean), ``gamma`` (market objects), ``rows`` (orders and trades),
``decode`` (frames). Nothing is imported here, so that a backtest can read market objects without loading a client.
"""
