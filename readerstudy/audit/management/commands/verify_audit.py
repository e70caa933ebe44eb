"""Check every audit chain, or the named ones, and say where the first fault is."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from readerstudy.audit.selectors import chains, head, verify
from readerstudy.command import Command as Base
from readerstudy.errors import UserError


class Command(Base):
    help = "Verify the hash chains of the audit log."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("chain", nargs="*", help="chain names; all chains when left out")
        parser.add_argument(
            "--head", metavar="SEQ:HASH", help="a head kept elsewhere (for exactly one chain)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        names = options["chain"] or chains()
        unknown = [name for name in names if head(name)[0] == 0]
        if unknown:
            raise UserError(f"No chain is called {unknown[0]!r}; the chains are {chains()}.")
        kept = None
        if options["head"]:
            seq, _, digest = options["head"].partition(":")
            if len(names) != 1 or not seq.isdigit() or not digest:
                raise UserError("--head is SEQ:HASH and goes with exactly one chain name.")
            kept = (int(seq), digest)
        faults = 0
        for name in names:
            fault = verify(name, kept)
            if fault:
                faults += 1
                self.stderr.write(f"{name}: {fault.what}.")
            else:
                seq, digest = head(name)
                self.stdout.write(f"{name}: {seq} events hold, head {seq}:{digest}")
        if faults:
            raise CommandError(f"{faults} of {len(names)} chains do not hold.", returncode=1)
