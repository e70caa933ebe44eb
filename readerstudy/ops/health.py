"""`python -m readerstudy.ops.health [PORT]`: exit 0 when the web server of this machine is well."""

from __future__ import annotations

import http.client
import sys


def is_healthy(port: int) -> bool:
    """Whether /healthz on this machine answers 200 within two seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_healthy(int(sys.argv[1]) if len(sys.argv) > 1 else 8000) else 1)
