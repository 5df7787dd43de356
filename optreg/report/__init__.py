"""Self-contained HTML reports that work offline."""

from optreg.report.pair import write_report

__all__ = ["write_report"]
