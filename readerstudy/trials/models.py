"""Trials: protocol versions, members, cases, the sealed truth and the stored allocation."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class Trial(models.Model):
    class State(models.TextChoices):
        DRAFT = "draft"
        OPEN = "open"
        PAUSED = "paused"
        CLOSED = "closed"
        UNBLINDED = "unblinded"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(max_length=60, unique=True)
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=State, default=State.DRAFT)
    seed = models.BigIntegerField()
    active_protocol = models.ForeignKey(
        "ProtocolVersion", on_delete=models.PROTECT, null=True, related_name="+"
    )
    # Commitment to the truth at opening: SHA-256(salt || canonical truth table); the salt is
    # shown at unblinding so that anyone can verify it.
    # Number of draws of cases so far: "draw again until it looks good" leaves a trace.
    draws = models.PositiveIntegerField(default=0)
    # What the stored orders were made from, and what they came to (see design/allocation.py).
    allocation_basis = models.CharField(max_length=64, blank=True)
    allocation_sha256 = models.CharField(max_length=64, blank=True)
    truth_salt = models.CharField(max_length=64, blank=True)
    truth_commitment = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    opened_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    unblinded_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.title


class ProtocolVersion(models.Model):
    """One version of the protocol document. Versions are added, never changed."""

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="protocols")
    number = models.PositiveIntegerField()
    document = models.JSONField()
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["trial", "number"], name="protocol_version_once")
        ]

    def __str__(self) -> str:
        return f"version {self.number}"


class Membership(models.Model):
    """A role of a user in a trial. It ends (`valid_to`), it is never deleted."""

    class Role(models.TextChoices):
        READER = "reader"
        COORDINATOR = "coordinator"
        RESEARCHER = "researcher"
        CUSTODIAN = "custodian"

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="memberships"
    )
    role = models.CharField(max_length=12, choices=Role)
    code = models.CharField(max_length=8, help_text="Pseudonym used in tables and exports, R01.")
    valid_from = models.DateTimeField(auto_now_add=True)
    valid_to = models.DateTimeField(null=True)

    class Meta:
        ordering = ["code"]
        constraints = [
            models.UniqueConstraint(fields=["trial", "code"], name="membership_code_once"),
            models.UniqueConstraint(
                fields=["trial", "user", "role"],
                condition=models.Q(valid_to__isnull=True),
                name="membership_once",
            ),
        ]

    def __str__(self) -> str:
        return self.code


class Case(models.Model):
    """A case of a trial as its readers meet it. What it truly is stands in `CaseTruth` alone."""

    class Phase(models.TextChoices):
        PRACTICE = "practice"
        MAIN = "main"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="cases")
    number = models.PositiveIntegerField()
    phase = models.CharField(max_length=8, choices=Phase, default=Phase.MAIN)
    rendition = models.ForeignKey("cases.Rendition", on_delete=models.PROTECT, related_name="+")
    organ = models.CharField(max_length=40)
    size_band = models.CharField(max_length=20)
    patient_key = models.CharField(max_length=64)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["trial", "number"], name="case_number_once"),
            models.UniqueConstraint(fields=["trial", "rendition"], name="case_rendition_once"),
        ]

    def __str__(self) -> str:
        return f"C{self.number:03d}"


class Selection(models.Model):
    """A candidate chosen for a trial, or kept out of it, while the trial is a draft.

    It says what each case is, so opening the trial deletes it: then `CaseTruth` alone knows.
    """

    class State(models.TextChoices):
        DRAWN = "drawn"
        INCLUDED = "included"
        EXCLUDED = "excluded"

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="selections")
    candidate = models.ForeignKey("cases.Candidate", on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State, default=State.DRAWN)
    # Empty for an excluded candidate, and for an included one that found no room.
    phase = models.CharField(max_length=8, choices=Case.Phase, blank=True)
    size_band = models.CharField(max_length=20, blank=True)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["trial", "candidate"], name="selection_once")
        ]

    def __str__(self) -> str:
        return f"{self.state} {self.candidate_id}"


class CaseTruth(models.Model):
    """What a case is. No page, header or file a reader receives may depend on this table."""

    case = models.OneToOneField(Case, on_delete=models.CASCADE, related_name="truth")
    arm = models.CharField(max_length=10, choices=[("real", "Real"), ("synthetic", "Synthetic")])
    generator = models.CharField(max_length=40, default="none")
    candidate = models.UUIDField()
    diameter_mm = models.FloatField()

    def __str__(self) -> str:
        return f"truth of {self.case_id}"


class Assignment(models.Model):
    """One position in one reader's stored order. The token is all that a browser ever sees."""

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="assignments")
    membership = models.ForeignKey(Membership, on_delete=models.CASCADE, related_name="assignments")
    position = models.PositiveIntegerField()
    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="assignments")
    phase = models.CharField(max_length=8, choices=Case.Phase, default=Case.Phase.MAIN)
    repeat = models.PositiveSmallIntegerField(default=1)
    token = models.CharField(max_length=43, unique=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["membership", "position"], name="position_once"),
            models.UniqueConstraint(fields=["membership", "case", "repeat"], name="repeat_once"),
        ]

    def __str__(self) -> str:
        return f"{self.membership_id}:{self.position}"
