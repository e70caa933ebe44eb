"""Make a draft trial from a protocol file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from readerstudy.accounts.models import User
from readerstudy.command import Command as BaseCommand
from readerstudy.errors import UserError
from readerstudy.trials.design import files
from readerstudy.trials.services import create_trial


class Command(BaseCommand):
    help = "Make a draft trial from a protocol file (YAML or JSON)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--protocol", required=True, metavar="FILE", help="protocol file")
        parser.add_argument("--slug", help="address of the trial; by default from its title")
        parser.add_argument(
            "--coordinator",
            metavar="EMAIL",
            help="who coordinates it; by default the site's only coordinator",
        )
        parser.add_argument(
            "--seed", type=int, help="seed of all draws and orders; random if left out"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(options["protocol"])
        try:
            with path.open("rb") as stream:
                content = stream.read(files.MAX_BYTES + 1)
        except OSError as error:
            raise UserError(
                f"The protocol file {path} cannot be read ({error.strerror}); check the path."
            ) from None
        protocol = files.load(content)
        seed = options["seed"]
        if seed is not None and not 0 <= seed < 2**63:
            raise UserError("--seed must be between 0 and 2^63 - 1.")
        trial = create_trial(
            title=protocol.title,
            actor=_coordinator(options["coordinator"]),
            slug=options["slug"],
            seed=seed,
            protocol=protocol,
        )
        self.stdout.write(f"Trial {trial.slug} made: protocol {protocol.sha256}.")


def _coordinator(email: str | None) -> User:
    coordinators = User.objects.filter(site_role=User.SiteRole.COORDINATOR, is_active=True)
    if email is not None:
        user = coordinators.filter(email=email.strip().lower()).first()
        if user is None:
            raise UserError(
                f"There is no coordinator with the e-mail {email}; check --coordinator."
            )
        return user
    found = list(coordinators[:2])
    if len(found) != 1:
        what = "no coordinator yet" if not found else "more than one coordinator"
        raise UserError(f"This site has {what}: say who coordinates with --coordinator EMAIL.")
    return found[0]
