"""Is a port free to listen on? Asked before a server starts, to answer in one sentence."""

from __future__ import annotations

import errno
import socket

from readerstudy.errors import UserError


def check_port(host: str, port: int) -> None:
    """Raises UserError when nothing can listen on `port` of the address `host`.

    The server itself would not notice another one of its kind: it shares ports (SO_REUSEPORT).
    """
    if not 1 <= port <= 65535:
        raise UserError(f"--port {port} is no port; choose one between 1024 and 65535.")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            # A port still closing down after the last run is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise UserError(_why(error, host, port)) from None


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} is taken by another program; stop that one or choose another port, "
            f"for example --port {port + 1 if port < 65535 else 8000}."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} needs administrator rights; choose another, for example --port 8000."
    return (
        f"{host} is no address of this machine; leave --host out, or give 0.0.0.0 for all of them."
    )
