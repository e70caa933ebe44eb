"""The web server: granian, WSGI, several processes."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.db import connections

from readerstudy.command import Command as BaseCommand
from readerstudy.ops.lifeline import hold_on
from readerstudy.ops.ports import check_port


class Command(BaseCommand):
    help = "Serve the platform over HTTP. Put a TLS proxy in front of it outside this machine."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--workers", type=int, default=2, help="processes")
        parser.add_argument("--threads", type=int, default=4, help="requests at once, per process")

    def handle(self, *args: Any, **options: Any) -> None:
        from granian import Granian
        from granian.constants import Interfaces
        from granian.log import LogLevels

        check_port(options["host"], options["port"])
        hold_on()
        # The workers are forked from here: no connection may be shared with them.
        connections.close_all()
        Granian(
            "readerstudy.wsgi:application",
            address=options["host"],
            port=options["port"],
            interface=Interfaces.WSGI,
            workers=options["workers"],
            blocking_threads=options["threads"],
            respawn_failed_workers=True,
            workers_kill_timeout=4,
            log_level=LogLevels.warning,
            websockets=False,
        ).serve()
