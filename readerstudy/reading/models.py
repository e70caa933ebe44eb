"""What readers do: consent, sittings, the reading of a case, and the judgment.

Nothing here knows what a case truly is.
"""

from __future__ import annotations

import uuid

from django.db import models

# For each rating its verdict, its confidence and the default label.
RATINGS = {
    1: ("real", 3, "Definitely real"),
    2: ("real", 2, "Probably real"),
    3: ("real", 1, "Possibly real"),
    4: ("synthetic", 1, "Possibly synthetic"),
    5: ("synthetic", 2, "Probably synthetic"),
    6: ("synthetic", 3, "Definitely synthetic"),
}


class Consent(models.Model):
    """A reader agreed to one exact text; another text needs another consent."""

    membership = models.ForeignKey(
        "trials.Membership", on_delete=models.CASCADE, related_name="consents"
    )
    text_sha256 = models.CharField(max_length=64)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["membership", "text_sha256"], name="consent_once")
        ]

    def __str__(self) -> str:
        return f"consent of {self.membership_id}"


class Sitting(models.Model):
    """A stretch of reading between two breaks, ended by a due break or a long absence."""

    membership = models.ForeignKey(
        "trials.Membership", on_delete=models.CASCADE, related_name="sittings"
    )
    phase = models.CharField(max_length=8)
    started_at = models.DateTimeField()
    last_at = models.DateTimeField()
    answers = models.PositiveIntegerField(default=0)
    break_due_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-started_at", "-pk"]

    def __str__(self) -> str:
        return f"sitting of {self.membership_id} from {self.started_at:%Y-%m-%d %H:%M}"


class Reading(models.Model):
    """One reader at one case, from the moment its frames may be fetched."""

    assignment = models.OneToOneField(
        "trials.Assignment", on_delete=models.CASCADE, related_name="reading"
    )
    handed_out_at = models.DateTimeField(help_text="as the current case or to be prefetched")
    first_served_at = models.DateTimeField(null=True, help_text="as the current case")
    last_seen_at = models.DateTimeField(null=True)
    served_count = models.PositiveIntegerField(default=0)
    draft = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"reading of {self.assignment_id}"


class Judgment(models.Model):
    """A reader's final answer to one case. It is written once and never changed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    client_uuid = models.UUIDField(unique=True)
    assignment = models.OneToOneField(
        "trials.Assignment", on_delete=models.PROTECT, related_name="judgment"
    )
    rating = models.PositiveSmallIntegerField()
    verdict = models.CharField(max_length=10)
    confidence = models.PositiveSmallIntegerField()
    comment = models.TextField(blank=True)
    cues = models.JSONField(default=list)
    # Two clocks: the browser's monotonic one and the server's. A time that makes no sense is NULL
    # here, stands as it came in `client_clock`, and is named in `flags`.
    client_elapsed_ms = models.BigIntegerField(null=True)
    client_active_ms = models.BigIntegerField(null=True)
    client_load_ms = models.BigIntegerField(null=True)
    client_clock = models.JSONField(default=dict)
    server_first_served_at = models.DateTimeField()
    server_received_at = models.DateTimeField()
    slices_seen = models.JSONField(default=list)
    windows_used = models.JSONField(default=list)
    backend = models.CharField(max_length=20, blank=True)
    screen = models.JSONField(default=dict)
    viewing = models.JSONField(default=dict, help_text="zoom, hidden_ms, frame_errors")
    flags = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(rating__gte=1) & models.Q(rating__lte=6), name="rating_1_to_6"
            )
        ]

    def __str__(self) -> str:
        return f"judgment of {self.assignment_id}"
