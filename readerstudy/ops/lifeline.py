"""A child process that ends when its supervisor does, even when that one is killed.

The supervisor holds the write end of a pipe and the child the read end. The kernel closes the
write end when the supervisor dies, however it dies, so nothing polls and no process id is reused.
"""

from __future__ import annotations

import os
import signal
import threading
import time

VARIABLE = "READERSTUDY_LIFELINE"
GRACE_SECONDS = 4.0


def hold_on() -> None:
    """Watch the pipe named by the environment, if there is one, from a thread."""
    descriptor = os.environ.pop(VARIABLE, "")
    if descriptor.isdigit():
        threading.Thread(
            target=_end_with_supervisor, args=(int(descriptor),), daemon=True, name="lifeline"
        ).start()


def _end_with_supervisor(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    # The supervisor gave this process a group of its own; it holds its children too.
    group = os.getpgrp()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    if group == os.getpid():
        os.killpg(group, signal.SIGKILL)
