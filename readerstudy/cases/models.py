"""Candidates for the trials (real lesions and synthetic ones) and their blinded renditions."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class SynthesisRun(models.Model):
    """One request for synthetic lesions; the work is done by a job, lesion by lesion."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    generator = models.CharField(max_length=40, default="textural")
    parameters = models.JSONField(default=dict)
    seed = models.BigIntegerField()
    volumes = models.ManyToManyField("library.Volume", related_name="synthesis_runs")
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, related_name="+")
    requested = models.PositiveIntegerField()
    finished = models.PositiveIntegerField(default=0, help_text="lesions tried; work resumes here")
    made = models.PositiveIntegerField(default=0, help_text="lesions that passed the checks")
    notes = models.JSONField(default=list, help_text="lesions that could not be made, and why")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.generator} x {self.requested} (seed {self.seed})"


class RecognitionRun(models.Model):
    """One request to look for tumors in volumes of the library, with one network."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    checkpoint = models.CharField(max_length=100, help_text="name of the network's weights")
    sha256 = models.CharField(max_length=64)
    organ = models.CharField(max_length=40, blank=True, help_text="empty: all the network knows")
    parameters = models.JSONField(default=dict)
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.checkpoint} of {self.created_at:%Y-%m-%d %H:%M}"


class Recognition(models.Model):
    """What a recognition run found in one volume; its files are in the data directory."""

    class State(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey(RecognitionRun, on_delete=models.CASCADE, related_name="results")
    volume = models.ForeignKey(
        "library.Volume", on_delete=models.PROTECT, related_name="recognitions"
    )
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    reason = models.CharField(max_length=300, blank=True, help_text="why it failed")
    lesions = models.JSONField(default=list, help_text="the rows of the table, largest first")
    seconds = models.FloatField(null=True)

    class Meta:
        ordering = ["run", "volume__name"]
        verbose_name = "recognition"
        constraints = [models.UniqueConstraint(fields=["run", "volume"], name="recognition_once")]

    def __str__(self) -> str:
        return f"{self.volume_id} {self.state}"


class Rendition(models.Model):
    """The blinded bytes of one case as a browser gets them.

    Nothing in this table depends on whether the lesion is real, and no key leads from here to a
    table that does. Each build makes new ones: the same candidate in two trials has two.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organ = models.CharField(max_length=40)
    frames = models.PositiveIntegerField()
    rows = models.PositiveIntegerField()
    columns = models.PositiveIntegerField()
    spacing = models.JSONField(help_text="row and column spacing in mm, rounded")
    slice_spacing = models.FloatField(help_text="mm, rounded")
    marker = models.JSONField(help_text="[[x0, x1], [y0, y1], [z0, z1]] in rendition voxels")
    start_slice = models.PositiveIntegerField()
    bucket_bytes = models.PositiveIntegerField()
    rule = models.JSONField(default=dict)
    sha256 = models.CharField(max_length=64)
    built_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.id)


class Candidate(models.Model):
    """A lesion that may become a case: a real one, or one made by a synthesis run."""

    class Kind(models.TextChoices):
        REAL = "real"
        SYNTHETIC = "synthetic"

    class State(models.TextChoices):
        PENDING = "pending"
        ACCEPTED = "accepted"
        REJECTED = "rejected"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    volume = models.ForeignKey(
        "library.Volume", on_delete=models.PROTECT, related_name="candidates"
    )
    kind = models.CharField(max_length=10, choices=Kind)
    organ = models.CharField(max_length=40)
    lesion_index = models.PositiveIntegerField(default=0)
    run = models.ForeignKey(
        SynthesisRun, on_delete=models.PROTECT, null=True, related_name="candidates"
    )
    attempt = models.PositiveIntegerField(default=0)
    seed = models.BigIntegerField(null=True)
    center = models.JSONField(help_text="x, y, z voxel index")
    bbox = models.JSONField(help_text="[[x0, x1], [y0, y1], [z0, z1]], half open")
    diameter_mm = models.FloatField(help_text="of the sphere of equal volume")
    volume_ml = models.FloatField()
    contrast_hu = models.FloatField(help_text="mean of the lesion minus mean of its surroundings")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    reason = models.CharField(max_length=300, blank=True)
    by_gate = models.BooleanField(default=False, help_text="rejected by the checks of the run")
    provenance = models.JSONField(default=dict)
    verdict = models.JSONField(default=dict)
    patch_sha256 = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    curated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    curated_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "lesion_index", "attempt"],
                condition=models.Q(run__isnull=False),
                name="attempt_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organ} lesion of {self.diameter_mm:.0f} mm"
