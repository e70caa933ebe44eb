"""Where django-allauth asks this site: sign-up is closed, and what concerns sign-in is logged."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.db import transaction
from django.http import HttpRequest

from readerstudy.audit.services import record


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def populate_username(self, request: HttpRequest, user: Any) -> None:
        user.username = user.email.lower()

    def post_login(self, request: HttpRequest, user: Any, **options: Any) -> Any:
        response = super().post_login(request, user, **options)
        record(user, "accounts.signed_in", user)
        return response

    def set_password(self, user: Any, password: str) -> None:
        with transaction.atomic():
            super().set_password(user, password)
            record(user, "accounts.password_changed", user)


class MFAAdapter(DefaultMFAAdapter):
    def send_notification_mail(self, template_prefix: str, user: Any, **options: Any) -> None:
        """Called after every change of a second factor; the name of the mail names the change."""
        record(user, "accounts.second_factor", user, data={"what": template_prefix.split("/")[-1]})
        super().send_notification_mail(template_prefix, user, **options)
