"""A secret of an account, read where the account's table says that it is."""

from __future__ import annotations

from polyhost.errors import ConfigError
from polyhost.secret import Secret, Unresolved
from polyhost.service.logs import REDACTOR
from polyhost.settings import Configuration


def account_secret(settings: Configuration, key: str, reference: dict[str, str]) -> str:
    """What is kept there; no log shows it from here on. ``key``: the setting in ``[accounts.NAME]`` that refers to it.

    Raises ConfigError: it is not where the configuration says.
    """
    secret = Secret.model_validate(reference)
    try:
        secret.resolve()
    except Unresolved as error:
        table = f"accounts.{settings.host.account}"
        raise ConfigError(str(error), table=table, key=key, remedy=error.remedy) from None
    REDACTOR.add(secret.reveal())
    return secret.reveal()
