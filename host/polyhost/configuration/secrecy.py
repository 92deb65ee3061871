"""What must not be repeated in an error text or a report: a secret that somebody put into a configuration."""

from __future__ import annotations

import re
from typing import Any, Final

HIDDEN: Final = "(hidden)"
_SECRET_NAME: Final = re.compile(r"private|secret|passphrase|password|mnemonic|api_?key|token|credential", re.I)
_SECRET_TEXT: Final = re.compile(r"(?:0x)?[0-9a-fA-F]{64}")


def shown(key: str, value: Any) -> Any:
    """The value, or ``(hidden)`` when its key or its look says that it is a secret."""
    if isinstance(value, dict):
        return {name: shown(str(name), item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown(key, item) for item in value]
    secret = isinstance(value, str) and value and (_SECRET_NAME.search(key) or _SECRET_TEXT.search(value))
    return HIDDEN if secret else value
