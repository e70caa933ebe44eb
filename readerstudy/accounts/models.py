"""People: accounts, and the one-time links that invite them."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models


class User(AbstractUser):
    class SiteRole(models.TextChoices):
        READER = "reader"
        RESEARCHER = "researcher"
        COORDINATOR = "coordinator"

    first_name = None
    last_name = None
    email = models.EmailField(unique=True)
    display_name = models.CharField(max_length=120, blank=True)
    site_role = models.CharField(max_length=12, choices=SiteRole, default=SiteRole.READER)
    experience_years = models.PositiveSmallIntegerField(null=True, blank=True)
    specialty = models.CharField(max_length=80, blank=True)

    objects = UserManager()

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS = ["email"]

    def __str__(self) -> str:
        return self.display_name or self.email


class Invitation(models.Model):
    """A link that lets a new user set a password, once. Only its SHA-256 is stored."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="invitations"
    )
    token_sha256 = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    def __str__(self) -> str:
        return f"invitation of {self.user_id}"
