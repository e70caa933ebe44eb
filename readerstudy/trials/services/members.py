"""Readers and other members. A membership ends; it and its data are never deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from readerstudy.accounts import services as accounts
from readerstudy.accounts.models import User
from readerstudy.errors import Conflict, UserError
from readerstudy.trials.errors import WrongState
from readerstudy.trials.models import Membership, Trial

from ._base import locked, log
from .orders import allocate_reader

Role = Membership.Role
PREFIX = {Role.READER: "R", Role.COORDINATOR: "C", Role.RESEARCHER: "S", Role.CUSTODIAN: "K"}
TAKES_READERS = (Trial.State.DRAFT, Trial.State.OPEN, Trial.State.PAUSED)


@dataclass(frozen=True)
class Added:
    """A new membership; `invitation` is the one-time token of an account without a password.

    The token exists only here: what is stored is its hash.
    """

    membership: Membership
    invitation: str | None


def add_reader(
    trial: Trial,
    *,
    email: str,
    actor: Any,
    display_name: str = "",
    experience_years: int | None = None,
    specialty: str = "",
) -> Added:
    """Add a reader under the next pseudonym, making an account and a link where there is none.

    In a trial that is open or paused the reader gets their order at once. Raises UserError for a
    bad address, for somebody who knows the truth, or when the trial takes no readers any more.
    """
    email = accounts.clean_email(email)
    with transaction.atomic():
        trial = locked(trial)
        if trial.state not in TAKES_READERS:
            raise WrongState(trial, "given a reader", TAKES_READERS)
        user = User.objects.filter(email=email).first()
        if user is not None:
            _may_read(trial, user)
        else:
            user = accounts.create_user(
                email,
                actor=actor,
                display_name=display_name.strip(),
                experience_years=experience_years,
                specialty=specialty.strip(),
            )
        membership = _join(trial, user, Role.READER)
        if trial.state != Trial.State.DRAFT:
            allocate_reader(trial, membership)
        token = None if user.has_usable_password() else accounts.invite(user, actor=actor)
        log(actor, "trials.reader_added", trial, membership, reader=membership.code)
    return Added(membership, token)


def _may_read(trial: Trial, user: User) -> None:
    if user.site_role == User.SiteRole.COORDINATOR:
        raise UserError(
            f"{user.email} coordinates at this site and can see which cases are synthetic; a "
            "reader must not."
        )
    for membership in trial.memberships.filter(user=user):
        if membership.role != Role.READER and membership.valid_to is None:
            raise UserError(
                f"{user.email} has a part in running this trial; a reader must not. Remove that "
                "part first."
            )
        if membership.role == Role.READER:
            if membership.valid_to is None:
                raise UserError(f"{user.email} reads this trial already, as {membership.code}.")
            raise UserError(
                f"{user.email} was reader {membership.code} of this trial and was removed; restore "
                "that reader instead."
            )


def _join(trial: Trial, user: User, role: Membership.Role) -> Membership:
    number = trial.memberships.filter(role=role).count() + 1
    return Membership.objects.create(
        trial=trial, user=user, role=role, code=f"{PREFIX[role]}{number:02d}"
    )


def add_member(trial: Trial, *, email: str, role: str, actor: Any) -> Membership:
    """Give somebody with an account a part in running the trial."""
    email = accounts.clean_email(email)
    if role not in {Role.COORDINATOR, Role.RESEARCHER, Role.CUSTODIAN}:
        raise UserError(
            f"“{role}” is no part in running a trial; choose coordinator, researcher or custodian."
        )
    chosen = Membership.Role(role)
    with transaction.atomic():
        trial = locked(trial)
        user = User.objects.filter(email=email, is_active=True).first()
        if user is None:
            raise UserError(f"There is no account for {email}; ask them to be invited first.")
        if chosen == Role.COORDINATOR and user.site_role != User.SiteRole.COORDINATOR:
            raise UserError(
                f"{email} does not coordinate at this site, so they cannot coordinate a trial."
            )
        # A former reader too: what they know now would come too late to hurt, what they read not.
        if trial.memberships.filter(user=user, role=Role.READER).exists():
            raise UserError(f"{email} is a reader of this trial; nobody can be both.")
        if trial.memberships.filter(user=user, role=chosen, valid_to__isnull=True).exists():
            raise UserError(f"{email} is {chosen.label.lower()} of this trial already.")
        membership = _join(trial, user, chosen)
        log(
            actor,
            "trials.member_added",
            trial,
            membership,
            member=membership.code,
            role=chosen.value,
        )
    return membership


def remove(membership: Membership, *, actor: Any, reason: str = "") -> None:
    """End a membership; everything the member did is kept. The last coordinator stays."""
    with transaction.atomic():
        trial = locked(membership.trial)
        current = trial.memberships.get(pk=membership.pk)
        if current.valid_to is not None:
            raise Conflict(f"{current.code} was removed before.")
        if current.role == Role.READER and trial.state not in TAKES_READERS:
            raise WrongState(trial, "changed in its readers", TAKES_READERS)
        if current.role == Role.COORDINATOR:
            others = trial.memberships.filter(role=Role.COORDINATOR, valid_to__isnull=True)
            if others.count() == 1:
                raise Conflict(
                    "The last coordinator cannot be removed; add another coordinator first."
                )
        reader = current.role == Role.READER
        reason = " ".join(reason.split())[:300]
        if reader and trial.state != Trial.State.DRAFT and not reason:
            raise UserError(
                "Removing a reader from a running trial needs a reason, which the report will "
                "give; write one."
            )
        current.valid_to = timezone.now()
        current.save(update_fields=["valid_to"])
        data = {"reader": current.code} if reader else {"member": current.code}
        action = "trials.reader_removed" if reader else "trials.member_removed"
        log(actor, action, trial, current, **data, reason=reason)


def restore_reader(membership: Membership, *, actor: Any) -> Membership:
    """Take a removed reader back, with the same pseudonym, order and answers."""
    with transaction.atomic():
        trial = locked(membership.trial)
        current = trial.memberships.select_related("user").get(pk=membership.pk, role=Role.READER)
        if trial.state not in TAKES_READERS:
            raise WrongState(trial, "changed in its readers", TAKES_READERS)
        if current.valid_to is None:
            raise Conflict(f"{current.code} reads this trial already.")
        running = trial.memberships.filter(user=current.user, valid_to__isnull=True)
        if running.exists() or current.user.site_role == User.SiteRole.COORDINATOR:
            raise UserError(
                f"{current.code} has a part in running trials here by now and cannot be a reader."
            )
        current.valid_to = None
        current.save(update_fields=["valid_to"])
        if trial.state != Trial.State.DRAFT and not current.assignments.exists():
            allocate_reader(trial, current)
        log(actor, "trials.reader_restored", trial, current, reader=current.code)
    return current


def renew_invitation(membership: Membership, *, actor: Any) -> str:
    """A new one-time link for a reader who has not set a password yet; earlier links end."""
    with transaction.atomic():
        trial = locked(membership.trial)
        current = trial.memberships.select_related("user").get(pk=membership.pk)
        if current.valid_to is not None:
            raise Conflict(f"{current.code} was removed from the trial; restore them first.")
        if current.user.has_usable_password():
            raise Conflict(
                f"{current.code} has set a password already and can sign in; a forgotten password "
                "is reset on the sign-in page."
            )
        token = accounts.invite(current.user, actor=actor)
        log(actor, "trials.invitation_renewed", trial, current, reader=current.code)
    return token
