"""Computed results, export bundles, and what machines said of a trial's cases.

Results and bundles name immutable files under the data directory.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from django.conf import settings
from django.db import models

from readerstudy.storage import data_path


class ResultsSnapshot(models.Model):
    """Results of an unblinded trial, computed once for an engine version and set of machines.

    Folder: results.json, figures.json, figures/NAME.{svg,png,screen.svg}.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey("trials.Trial", on_delete=models.CASCADE, related_name="snapshots")
    engine = models.CharField(max_length=20)
    protocol_sha256 = models.CharField(max_length=64)
    # SHA-256 of machines.csv; empty without machines.
    machines_sha256 = models.CharField(max_length=64, blank=True, default="")
    sha256 = models.CharField(max_length=64, help_text="SHA-256 of results.json.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["trial", "engine", "protocol_sha256", "machines_sha256"],
                name="snapshot_once",
            )
        ]

    def __str__(self) -> str:
        return f"results {self.sha256[:12]}"

    @property
    def folder(self) -> Path:
        return data_path("exports", str(self.trial_id), f"results-{self.pk}")


class Bundle(models.Model):
    """An export file. Two bundles of the same trial, level and engine have the same bytes."""

    class Level(models.TextChoices):
        BLINDED = "blinded"
        UNBLINDED = "unblinded"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey("trials.Trial", on_delete=models.CASCADE, related_name="bundles")
    level = models.CharField(max_length=10, choices=Level)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.level} bundle {self.sha256[:12]}"

    @property
    def path(self) -> Path:
        return data_path("exports", str(self.trial_id), f"{self.level}-{self.sha256[:16]}.zip")

    @property
    def filename(self) -> str:
        """Name under which the file is downloaded."""
        return f"{self.trial.slug}-{self.level}.zip"


class MachineReader(models.Model):
    """A machine that has read the counted cases of a trial.

    Sealed like the truth: until the trial is unblinded no page, file or event shows its readings
    or how well it did anywhere.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey("trials.Trial", on_delete=models.CASCADE, related_name="machines")
    name = models.CharField(max_length=40)
    # What it is and what it learned from, in words and numbers; see machines/reading.py.
    card = models.JSONField(default=dict)
    basis = models.CharField(max_length=64, help_text="Hash of all that the readings follow from.")
    sha256 = models.CharField(max_length=64, help_text="Of the readings, known before unblinding.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["trial", "name"], name="machine_reads_once")]

    def __str__(self) -> str:
        return self.name


class MachineReading(models.Model):
    """One answer of a machine: `score` as it came, `rating` on the readers' six steps."""

    machine = models.ForeignKey(MachineReader, on_delete=models.CASCADE, related_name="readings")
    case = models.ForeignKey("trials.Case", on_delete=models.CASCADE, related_name="+")
    score = models.FloatField(help_text="grows with belief in synthetic")
    rating = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["machine", "case"], name="machine_case_once")
        ]

    def __str__(self) -> str:
        return f"{self.machine_id}:{self.case_id}"
