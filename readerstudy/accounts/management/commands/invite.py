"""`manage.py invite EMAIL`: an account, and the one-time link its owner sets a password with."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from readerstudy.accounts.models import User
from readerstudy.accounts.services import clean_email, create_user, invite
from readerstudy.command import Command as BaseCommand


class Command(BaseCommand):
    help = (
        "Invite a person: prints a link that works once. For the first coordinator, or a lost link."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument(
            "--role",
            choices=User.SiteRole.values,
            default=User.SiteRole.READER.value,
            help="what a new account may do; an existing account keeps its role",
        )
        parser.add_argument("--name", default="", help="name shown to coordinators")

    def handle(self, *args: Any, **options: Any) -> None:
        email = clean_email(options["email"])
        with transaction.atomic():
            user = User.objects.filter(email=email).first() or create_user(
                email, display_name=options["name"], site_role=options["role"]
            )
            token = invite(user, actor=None)
        host = next(iter(settings.CSRF_TRUSTED_ORIGINS), "http://127.0.0.1:8000")
        path = reverse("accounts:invitation", args=[token])
        self.stdout.write(f"{email} ({user.site_role}) sets a password here, once:")
        self.stdout.write(f"{host}{path}")
