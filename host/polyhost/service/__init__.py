"""The asyncio shell around the kernel: processes, streams, clocks, durability, logging.

It decides nothing about trading.
"""
