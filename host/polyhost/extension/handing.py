"""Secrets on their way to a plugin: resolved by the host, handed to that plugin alone, kept out of what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Final, NoReturn

from msgspec.structs import replace

from polyhost.extension.specification import Bound
from polyhost.secret import Handed, Secret, Unresolved, fetched, references_in

MASKED_BYTES_MIN: Final = 8
"""Shorter texts are no secrets worth the name, and could stand in a message by chance."""
HIDDEN: Final = "(hidden)"


class SecretError(Exception):
    """What a plugin raised with a secret in its text; here it is without."""


def handed_over(table: Mapping[str, Any]) -> dict[str, Handed]:
    """Every reference in a plugin's table with its secret, or with why there is none: only the plugin knows which of
    them are settings for secrets, so a failure is told when it asks for it."""
    return {secret.reference: _handed(secret) for secret in references_in(table)}


def _handed(secret: Secret) -> Handed:
    try:
        return Handed(fetched(secret))
    except Unresolved as error:
        return Handed(problem=str(error), remedy=error.remedy)


def masked(message: bytes, secrets: Iterable[str]) -> bytes:
    """A message of a plugin's process without its secrets; each is replaced in place, so it stays the same message."""
    for secret in secrets:
        text = secret.encode()
        if len(text) >= MASKED_BYTES_MIN:
            message = message.replace(text, b"*" * len(text))
    return message


def without(text: str, secrets: Iterable[str]) -> str:
    """A text with each secret hidden."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def discreet(hooks: Mapping[str, Bound], secrets: tuple[str, ...]) -> dict[str, Bound]:
    """The hooks of a plugin that was given secrets: an exception's text comes out without them."""
    if not secrets:
        return dict(hooks)
    return {name: replace(bound, call=_discreet(bound.call, secrets)) for name, bound in hooks.items()}


def _discreet(call: Callable[..., Any], secrets: tuple[str, ...]) -> Callable[..., Any]:
    @wraps(call)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except BaseException as error:  # a plugin may raise anything; it goes on, but for its secrets
            _raise_without(error, secrets)

    return guarded


def _raise_without(error: BaseException, secrets: tuple[str, ...]) -> NoReturn:
    try:
        text = str(error)
    except BaseException:  # the exception is the plugin's own class: even its text may raise
        raise error from None
    clean = without(text, secrets)
    if clean == text:
        raise error
    raise SecretError(f"{type(error).__name__}: {clean}") from None
