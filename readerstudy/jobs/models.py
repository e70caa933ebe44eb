"""The job row: the queue of record, with lease, checkpoint and progress; and batches of jobs."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class JobBatch(models.Model):
    """One job for each of many items, with what they have in common in `params`.

    `place` is where the results go: no two batches work on one place at a time. `found` counts the
    items whose result was there when the batch was made; they have no job.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    title = models.CharField(max_length=200)
    kind = models.CharField(max_length=60)
    queue = models.CharField(max_length=12)
    place = models.CharField(max_length=1000)
    params = models.JSONField(default=dict)
    found = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.title


class Job(models.Model):
    class State(models.TextChoices):
        QUEUED = "queued"
        SENT = "sent"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=60)
    queue = models.CharField(max_length=12, default="cpu")
    params = models.JSONField(default=dict)
    subject = models.CharField(max_length=120, blank=True)
    batch = models.ForeignKey(
        JobBatch, on_delete=models.CASCADE, null=True, related_name="jobs", db_index=False
    )
    # Lower goes first: somebody waits for a page, nobody for one of a thousand volumes.
    priority = models.SmallIntegerField(default=0)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(default=0)
    message = models.CharField(max_length=300, blank=True)
    error = models.TextField(blank=True)
    result = models.JSONField(default=dict)
    checkpoint = models.JSONField(default=dict)
    attempts = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=3)
    cancel_requested = models.BooleanField(default=False)
    not_before = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["state", "lease_until"]),
            # The dispatcher takes the first few of a queue, however long it is.
            models.Index(fields=["state", "queue", "priority", "created_at"], name="jobs_next"),
            models.Index(fields=["batch", "state"], name="jobs_of_batch"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"

    @property
    def is_active(self) -> bool:
        return self.state in {self.State.QUEUED, self.State.SENT, self.State.RUNNING}
