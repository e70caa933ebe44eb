"""All writes to accounts and invitations."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from readerstudy.audit.services import record
from readerstudy.errors import UserError

from .models import Invitation, User

INVITATION_DAYS = 14


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def clean_email(email: str) -> str:
    """The address in lower case. Raises UserError when it is not an e-mail address."""
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise UserError(f"{email!r} is not an e-mail address; correct it and try again.") from None
    return email


def create_user(
    email: str,
    *,
    actor: Any = None,
    password: str | None = None,
    display_name: str = "",
    site_role: str = User.SiteRole.READER,
    experience_years: int | None = None,
    specialty: str = "",
) -> User:
    """Make an account; without a password it can only be entered through an invitation."""
    email = clean_email(email)
    if site_role not in User.SiteRole.values:
        raise UserError(f"{site_role!r} is no role; choose one of {User.SiteRole.values}.")
    with transaction.atomic():
        if User.objects.filter(email=email).exists():
            raise UserError(f"There is an account for {email} already.")
        user = User(
            username=email,
            email=email,
            display_name=display_name,
            site_role=site_role,
            experience_years=experience_years,
            specialty=specialty,
        )
        if password is None:
            user.set_unusable_password()
        else:
            user.set_password(password)
        user.save()
        record(actor, "accounts.created", user, data={"site_role": site_role})
    return user


def invite(user: User, *, actor: Any) -> str:
    """Make a one-time link token for `user` and revoke their earlier ones. Returned only here."""
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        Invitation.objects.filter(user=user, used_at=None, revoked_at=None).update(
            revoked_at=timezone.now()
        )
        invitation = Invitation.objects.create(
            user=user,
            token_sha256=_digest(token),
            expires_at=timezone.now() + timedelta(days=INVITATION_DAYS),
            created_by=actor,
        )
        record(actor, "accounts.invited", invitation, data={"user": user.pk})
    return token


def open_invitation(token: str) -> Invitation | None:
    """The invitation that a token opens now, or None."""
    return (
        Invitation.objects.select_related("user")
        .filter(
            token_sha256=_digest(token),
            used_at=None,
            revoked_at=None,
            expires_at__gt=timezone.now(),
            user__is_active=True,
        )
        .first()
    )


def accept_invitation(token: str, password: str) -> User:
    """Set the password of the invited account and use the link up.

    Raises UserError when the link does not open anything or the password is too weak.
    """
    with transaction.atomic():
        invitation = open_invitation(token)
        if invitation is None:
            raise UserError("This link has been used or has expired; ask for a new one.")
        user = invitation.user
        try:
            validate_password(password, user)
        except ValidationError as error:
            raise UserError(" ".join(error.messages)) from None
        used = Invitation.objects.filter(pk=invitation.pk, used_at=None).update(
            used_at=timezone.now()
        )
        if not used:
            raise UserError("This link has been used or has expired; ask for a new one.")
        user.set_password(password)
        user.save(update_fields=["password"])
        record(user, "accounts.invitation_accepted", invitation)
    return user


def update_profile(
    user: User, *, display_name: str, experience_years: int | None, specialty: str
) -> None:
    with transaction.atomic():
        user.display_name = display_name.strip()
        user.experience_years = experience_years
        user.specialty = specialty.strip()
        user.save(update_fields=["display_name", "experience_years", "specialty"])
        record(user, "accounts.profile_changed", user)
