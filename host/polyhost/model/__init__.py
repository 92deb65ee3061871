"""Values that every other part shares: money, books, orders, events, records, commands, views, proposals.

This package imports nothing of the project and does no I/O.
"""
