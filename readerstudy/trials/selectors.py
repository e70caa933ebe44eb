"""All reads of trials."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from .models import Trial


def trials_of(user: Any) -> QuerySet[Trial]:
    """Trials that `user` coordinates or researches now, newest first (home page, trials list)."""
    return Trial.objects.filter(
        memberships__user=user,
        memberships__role__in=["coordinator", "researcher", "custodian"],
        memberships__valid_to__isnull=True,
    ).distinct()
