"""The deterministic core: events in, records and commands out. No clock, no randomness, no I/O.

It knows polyhost.model and the typed settings; nothing outside reaches into it but through ``Kernel``.
"""
