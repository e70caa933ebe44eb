"""All reads of trials."""

from __future__ import annotations

from .cases import (
    case_rows,
    chosen_rows,
    design_cases,
    lesions,
    selection_table,
    stock_rows,
    truth_document,
    truth_rows,
)
from .checklist import Check, closing_warnings, opening_checks
from .history import history
from .members import active_readers, incomplete_readers, members, readers
from .orders import allocation_basis, allocation_csv, allocation_summary, stored_orders
from .trials import (
    active_protocol,
    protocol_of,
    protocol_version,
    protocol_versions,
    trials_of,
)

__all__ = [
    "Check",
    "active_protocol",
    "active_readers",
    "allocation_basis",
    "allocation_csv",
    "allocation_summary",
    "case_rows",
    "chosen_rows",
    "closing_warnings",
    "design_cases",
    "history",
    "incomplete_readers",
    "lesions",
    "members",
    "opening_checks",
    "protocol_of",
    "protocol_version",
    "protocol_versions",
    "readers",
    "selection_table",
    "stock_rows",
    "stored_orders",
    "trials_of",
    "truth_document",
    "truth_rows",
]
