"""Environment of the test run, loaded as a pytest plugin before Django reads its settings.

A scratch data directory, no demo mode, and PostgreSQL where READERSTUDY_TEST_DATABASE_URL
names one.
"""

from __future__ import annotations

import os
import tempfile

from hypothesis import settings

_scratch = tempfile.TemporaryDirectory(prefix="readerstudy-test-")
os.environ["READERSTUDY_DATA_DIR"] = _scratch.name
os.environ["READERSTUDY_SECRET_KEY"] = "test-only-" + "k" * 50
os.environ["READERSTUDY_DEMO"] = "0"
os.environ["READERSTUDY_HTTPS"] = "0"
os.environ["READERSTUDY_STATIC_FROM_SOURCE"] = "1"
os.environ["READERSTUDY_REQUIRE_SECOND_FACTOR"] = "0"
if "READERSTUDY_TEST_DATABASE_URL" not in os.environ:
    os.environ.pop("READERSTUDY_DATABASE_URL", None)
else:
    os.environ["READERSTUDY_DATABASE_URL"] = os.environ["READERSTUDY_TEST_DATABASE_URL"]
# The browser's synchronous driver runs an event loop in the main thread.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
# How long an example takes depends on what else the machine does; speed is for benchmarks.
settings.register_profile("readerstudy", deadline=None)
settings.load_profile("readerstudy")
