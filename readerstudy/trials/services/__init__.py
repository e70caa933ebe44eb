"""All writes to trials. Each checks, acts in one transaction and logs one event in the chain.

The whole road for a script: create_trial, save_protocol, choose_cases, preparation.prepare,
add_reader, allocate, open_trial.
"""

from __future__ import annotations

from ._base import latest_job
from .cases import (
    PREPARE,
    choose_cases,
    clear,
    exclude,
    include,
    request_preparation,
    require_complete,
)
from .members import (
    Added,
    add_member,
    add_reader,
    remove,
    renew_invitation,
    restore_reader,
)
from .orders import ALLOCATE, allocate, request_allocation
from .trials import create_trial, log_truth_download, save_protocol

__all__ = [
    "ALLOCATE",
    "PREPARE",
    "Added",
    "add_member",
    "add_reader",
    "allocate",
    "choose_cases",
    "clear",
    "create_trial",
    "exclude",
    "include",
    "latest_job",
    "log_truth_download",
    "remove",
    "renew_invitation",
    "request_allocation",
    "request_preparation",
    "require_complete",
    "restore_reader",
    "save_protocol",
]
