"""Enqueue jobs and look at them from a process of its own, as the web server does.

python -m tests.ops.driver enqueue STEPS SECONDS [COUNT]   prints the ids
python -m tests.ops.driver wait SECONDS DONE ID...         waits until each has done that many
                                                           steps; prints the rows as JSON
"""

from __future__ import annotations

import json
import sys
import time

import django

FIELDS = ("id", "state", "attempts", "done", "total", "result", "error")


def main(command: str, *words: str) -> None:
    django.setup()
    from readerstudy.jobs.models import Job
    from readerstudy.jobs.services import enqueue

    if command == "enqueue":
        steps, seconds, count = int(words[0]), float(words[1]), int(words[2])
        for _ in range(count):
            job = enqueue("counting.count", {"steps": steps, "seconds": seconds})
            sys.stdout.write(f"{job.pk}\n")
        return
    deadline, wanted, ids = time.monotonic() + float(words[0]), int(words[1]), words[2:]
    while True:
        rows = list(Job.objects.filter(pk__in=ids).order_by("created_at").values(*FIELDS))
        if all(row["done"] >= wanted for row in rows) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    sys.stdout.write(json.dumps(rows, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
