"""Source CT volumes, their masks, and uploads on their way in."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone


class Volume(models.Model):
    """One de-identified CT on its native grid; `ct.npy` holds int16 HU as (z, y, x)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200)
    patient = models.CharField(max_length=64, help_text="Pseudonymous code of the patient.")
    source = models.CharField(max_length=300, blank=True)
    sha256 = models.CharField(max_length=64, unique=True)
    rows = models.PositiveIntegerField()
    columns = models.PositiveIntegerField()
    slices = models.PositiveIntegerField()
    spacing_x = models.FloatField(help_text="mm")
    spacing_y = models.FloatField(help_text="mm")
    spacing_z = models.FloatField(help_text="mm")
    origin = models.JSONField(help_text="x, y, z in mm, LPS")
    direction = models.JSONField(help_text="3x3 row-major; columns are the index axes in LPS")
    hu_min = models.IntegerField()
    hu_max = models.IntegerField()
    origin_format = models.CharField(
        max_length=8, choices=[("dicom", "DICOM"), ("nifti", "NIfTI"), ("phantom", "Phantom")]
    )
    frame_code = models.CharField(
        max_length=32,
        blank=True,
        help_text="Keyed code of the DICOM frame of reference: masks of another scan are refused.",
    )
    synthetic = models.CharField(
        max_length=200,
        blank=True,
        help_text="Where it is said that a generator made this volume; empty for a scan.",
    )
    report = models.JSONField(default=dict, help_text="What de-identification removed.")
    warnings = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        ordering = ["-created_at", "name"]

    def __str__(self) -> str:
        return self.name


class Mask(models.Model):
    """A binary mask on the grid of its volume."""

    class Kind(models.TextChoices):
        ORGAN = "organ"
        TUMOR = "tumor"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    volume = models.ForeignKey(Volume, on_delete=models.CASCADE, related_name="masks")
    kind = models.CharField(max_length=8, choices=Kind)
    label = models.CharField(max_length=64)
    sha256 = models.CharField(max_length=64)
    voxels = models.PositiveIntegerField()
    volume_ml = models.FloatField()
    origin_format = models.CharField(max_length=12)
    synthetic = models.BooleanField(
        default=False, help_text="Marks what a generator inserted, by what its file says."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["kind", "label"]
        constraints = [
            models.UniqueConstraint(fields=["volume", "sha256", "label"], name="mask_once"),
        ]

    def __str__(self) -> str:
        return f"{self.label} ({self.kind})"


class Upload(models.Model):
    """Files on their way in from a browser, in chunks that survive a reload.

    The files hold patient data: they are deleted once imported, when discarded, and after a day
    without activity, and their names (which may hold a name) go with them.
    """

    class State(models.TextChoices):
        RECEIVING = "receiving"
        CHECKING = "checking"
        REVIEW = "review"
        IMPORTING = "importing"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=12, choices=State, default=State.RECEIVING)
    volume = models.ForeignKey(
        Volume,
        on_delete=models.CASCADE,
        null=True,
        related_name="+",
        help_text="Set when masks are added to a volume that is already here.",
    )
    options = models.JSONField(default=dict, help_text="What the person said about the files.")
    findings = models.JSONField(default=dict, help_text="What looking at the files found.")
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    active_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"Upload of {self.created_at:%Y-%m-%d %H:%M}"


class UploadFile(models.Model):
    """One file of an upload; on disk it is called by its primary key, never by its name."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="files")
    name = models.CharField(max_length=500, help_text="Path relative to the dropped folder.")
    size = models.BigIntegerField()
    received = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["upload", "name"], name="upload_file_once")]

    def __str__(self) -> str:
        return self.name
