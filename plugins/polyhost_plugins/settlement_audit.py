"""Our books against the venue's account of every decided market (SET-02): a difference is told with both figures."""

from __future__ import annotations

from collections.abc import Iterable

from polyhost import AuditTaken, Market, Money, Notice, Plugin, Settings, hookimpl

MICRO = 1_000_000


class SettlementAuditSettings(Settings):
    difference_max: Money = Money("0.10")
    """A larger difference between our P&L of a market and the venue's is told, collateral."""


class SettlementAudit(Plugin):
    name = "settlement_audit"
    description = "Compares the P&L of every decided market with the venue's own account and tells a difference."
    Settings = SettlementAuditSettings
    settings: SettlementAuditSettings

    @hookimpl
    def on_audit(self, market: Market, report: AuditTaken) -> Iterable[Notice]:
        """Tell a difference above ``difference_max``; count every comparison."""
        difference = abs(report.ours - report.theirs)
        self.metrics["audits"] = self.metrics.get("audits", 0) + 1
        if difference <= int(self.settings.difference_max):
            return []
        self.metrics["differences"] = self.metrics.get("differences", 0) + 1
        ours, theirs, apart = (f"{amount / MICRO:.6f}" for amount in (report.ours, report.theirs, difference))
        text = f"{market.slug}: our P&L is {ours}, the venue's {theirs}: {apart} apart"
        return [Notice(text, "warning", "settlement")]
