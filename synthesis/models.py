"""The registry of network weights on this installation."""

from __future__ import annotations

from django.db import models


class Checkpoint(models.Model):
    """One network's weights: a safetensors file under the data directory, and where it is from.

    A published bundle becomes several rows (generator, discriminator, segmentor) with one
    folder and one card.
    """

    class Kind(models.TextChoices):
        GENERATOR = "generator", "Generator"
        SEGMENTOR = "segmentor", "Segmentor"
        DISCRIMINATOR = "discriminator", "Discriminator"
        # of the recognition engine, which reads their files; kept here with the others
        RECOGNIZER = "recognizer", "Recognizer"
        ENCODER = "encoder", "Encoder"

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    architecture = models.CharField(max_length=40)
    config = models.JSONField()
    sha256 = models.CharField(max_length=64)
    parameters = models.BigIntegerField()
    path = models.CharField(max_length=255, unique=True)  # relative to the data directory
    source = models.TextField()
    source_sha256 = models.CharField(max_length=64, blank=True)
    revision = models.CharField(max_length=100, blank=True)
    licence = models.CharField(max_length=100, blank=True)
    card = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
