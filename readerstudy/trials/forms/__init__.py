from __future__ import annotations

from .protocol import ProtocolForm, ProtocolUploadForm
from .small import (
    AddMemberForm,
    AddReaderForm,
    NewTrialForm,
    ReasonForm,
    UnblindForm,
)

__all__ = [
    "AddMemberForm",
    "AddReaderForm",
    "NewTrialForm",
    "ProtocolForm",
    "ProtocolUploadForm",
    "ReasonForm",
    "UnblindForm",
]
