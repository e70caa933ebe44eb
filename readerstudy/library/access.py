"""Loaders: the object, or 404. The library belongs to the coordinators of the site."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import Http404

from readerstudy.accounts.access import require_coordinator

from .models import Mask, Upload, Volume


def volume_or_404(user: Any, volume_id: uuid.UUID) -> Volume:
    require_coordinator(user)
    volume = Volume.objects.prefetch_related("masks").filter(pk=volume_id).first()
    if volume is None:
        raise Http404
    return volume


def mask_or_404(user: Any, mask_id: uuid.UUID) -> Mask:
    require_coordinator(user)
    mask = Mask.objects.select_related("volume").filter(pk=mask_id).first()
    if mask is None:
        raise Http404
    return mask


def upload_or_404(user: Any, upload_id: uuid.UUID) -> Upload:
    """An upload belongs to the coordinator who began it."""
    require_coordinator(user)
    upload = Upload.objects.select_related("job", "volume").filter(pk=upload_id, owner=user).first()
    if upload is None:
        raise Http404
    return upload
