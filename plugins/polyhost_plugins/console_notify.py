"""Notices as readable lines in the log (NOT-01), the same text once a minute with a count (NOT-04)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from polyhost import NoticeRaised, Plugin, Settings, hookimpl

LEVELS = {"info": 0, "warning": 1, "critical": 2}
TEXTS_MAX = 1_000
"""Different texts remembered within one minute; more than that are told without being counted."""


class ConsoleNotifySettings(Settings):
    level_min: Literal["info", "warning", "critical"] = "info"
    """Notices below this level are not written."""
    topics: tuple[str, ...] = ()
    """Topics that are written; none named: all."""
    repeat_s: float = Field(default=60.0, ge=0)
    """The same text is written once in this time and counted meanwhile, seconds of the notices' own (market) time."""


class ConsoleNotify(Plugin):
    name = "console_notify"
    description = "Notices as readable lines in the log."
    Settings = ConsoleNotifySettings
    settings: ConsoleNotifySettings

    def __init__(self, settings: ConsoleNotifySettings) -> None:
        super().__init__(settings)
        self._told: dict[str, tuple[int, int, NoticeRaised]] = {}
        """By text: when it was written (market ms), how often it came since, and the notice."""

    @hookimpl
    def notify(self, notice: NoticeRaised) -> None:
        """Write the notice, or count it when the same text was written within ``repeat_s``."""
        if not self._wanted(notice):
            return
        before = self._told.get(notice.text)
        if before is not None and notice.at - before[0] < self.settings.repeat_s * 1_000:
            self._told[notice.text] = (before[0], before[1] + 1, before[2])
            return
        self._told.pop(notice.text, None)
        self._tell_expired(notice.at)
        if len(self._told) < TEXTS_MAX:
            self._told[notice.text] = (notice.at, 0, notice)
        self._write(notice, before[1] if before else 0)

    @hookimpl
    def stop(self) -> None:
        """Tell what was only counted so far."""
        self._tell_expired(None)

    def _wanted(self, notice: NoticeRaised) -> bool:
        # A level this plugin does not know is written: silence would be the worse mistake.
        high_enough = LEVELS.get(notice.level, LEVELS["critical"]) >= LEVELS[self.settings.level_min]
        return high_enough and (not self.settings.topics or notice.topic in self.settings.topics)

    def _tell_expired(self, now: int | None) -> None:
        """Forget texts whose time is over (None: all), and tell those that came again with their count."""
        span_ms = self.settings.repeat_s * 1_000
        for text, (written_at, again, notice) in list(self._told.items()):
            if now is None or now - written_at >= span_ms:
                del self._told[text]
                if again:
                    self._write(notice, again)

    def _write(self, notice: NoticeRaised, again: int) -> None:
        level = notice.level.upper() if notice.level in LEVELS else "CRITICAL"
        line = f"{notice.topic}: {notice.told_text}"
        if again:
            line += f" ({again} more since it was last told)"
        self.log.log(level, "{}", line)
