"""The platform's settings with the counting job, for worker processes that the tests start."""

from __future__ import annotations

from readerstudy.settings import *  # noqa: F403
from readerstudy.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.ops.counting"]
