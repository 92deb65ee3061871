"""Notices to Discord, Telegram, Slack, e-mail and a hundred other services (NOT-01), through the apprise library.

Each channel has addresses (which hold passwords, so they are kept elsewhere), a least level and topics. The host
retries each channel by itself; addresses of a channel that took a notice are not told it again while others are
retried.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

from pydantic import Field

from polyhost import NoticeRaised, Plugin, Secret, Settings, hookimpl

LEVELS = {"info": 0, "warning": 1, "critical": 2}
KINDS = {"info": "info", "warning": "warning", "critical": "failure"}
"""Level → how apprise calls it (colour and icon of the message)."""
KEPT_MAX = 100
"""Notices whose addresses are remembered while some of them failed; the oldest go first."""
MISSING = "apprise_notify needs the library apprise: pip install 'polyhost[notify]'"


class Channel(Settings):
    """One way to be told."""

    urls: tuple[Secret, ...] = Field(min_length=1)
    """Addresses as apprise writes them (``tgram://…``), each kept elsewhere: ``{ env = "NAME" }``,
    ``{ file = "PATH" }`` or ``{ keyring = "SERVICE/NAME" }``."""
    level_min: Literal["info", "warning", "critical"] = "warning"
    """Notices below this level are not told here."""
    topics: tuple[str, ...] = ()
    """Topics that are told here; none named: all."""


class AppriseNotifySettings(Settings):
    channels: dict[str, Channel] = Field(default_factory=dict)
    """Channels by a name of your own: ``[plugins.apprise_notify.channels.phone]`` with ``urls``, ``level_min`` (info,
    warning or critical) and ``topics``."""


class AppriseNotify(Plugin):
    name = "apprise_notify"
    description = "Notices to Discord, Telegram, Slack, e-mail and others, each channel with its own level and topics."
    Settings = AppriseNotifySettings
    settings: AppriseNotifySettings

    def __init__(self, settings: AppriseNotifySettings) -> None:
        super().__init__(settings)
        self.channels = tuple(settings.channels)
        self._taken: dict[tuple[str, str], set[int]] = {}
        """(channel, notice id) → addresses that took it, while another one failed."""

    @hookimpl
    def start(self) -> None:
        """Say at once what would fail later: a missing library, an address that apprise does not understand."""
        if not self.channels:
            self.log.warning("apprise_notify has no channels: nobody is told anything")
            return
        for name, channel in self.settings.channels.items():
            for index in range(len(channel.urls)):
                self._sender(name, index)

    @hookimpl
    def notify(self, notice: NoticeRaised, channel: str) -> None:
        """Tell one channel; raises when one of its addresses did not take the notice."""
        setup = self.settings.channels[channel]
        if not _wanted(setup, notice):
            return
        key = (channel, notice.notice_id)
        taken = self._taken.pop(key, set())
        failed = []
        for index in range(len(setup.urls)):
            if index not in taken:
                if self._told(channel, index, notice):
                    taken.add(index)
                else:
                    failed.append(index)
        if failed:
            self._taken[key] = taken
            while len(self._taken) > KEPT_MAX:
                del self._taken[next(iter(self._taken))]
            raise RuntimeError(f"{len(failed)} of {len(setup.urls)} addresses did not take it (the first: {failed[0]})")

    def _told(self, channel: str, index: int, notice: NoticeRaised) -> bool:
        send = self._sender(channel, index)
        title = f"polyhost {notice.level}: {notice.topic}"
        return bool(send(body=notice.told_text, title=title, notify_type=KINDS.get(notice.level, "failure")))

    def _sender(self, channel: str, index: int) -> Callable[..., Any]:
        try:
            apprise = import_module("apprise")
        except ImportError as error:
            raise RuntimeError(MISSING) from error
        sender = apprise.Apprise()
        # What it would say of an address that it does not understand could show the address.
        if not sender.add(self.settings.channels[channel].urls[index].reveal()):
            raise RuntimeError(f"channels.{channel}.urls[{index}] is no address that apprise understands")
        send: Callable[..., Any] = sender.notify
        return send


def _wanted(setup: Channel, notice: NoticeRaised) -> bool:
    # A level this plugin does not know is told: silence would be the worse mistake.
    high_enough = LEVELS.get(notice.level, LEVELS["critical"]) >= LEVELS[setup.level_min]
    return high_enough and (not setup.topics or notice.topic in setup.topics)
