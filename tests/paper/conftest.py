"""Exchange and host live in one process here: a pause of it is nobody's fault."""

from ..unhurried import unhurried_module

__all__ = ["unhurried_module"]
