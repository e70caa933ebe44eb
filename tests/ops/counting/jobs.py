from __future__ import annotations

import time
from typing import Any

from readerstudy.jobs.registry import JobContext, job
from readerstudy.storage import data_path


@job("counting.count", title="Count", max_attempts=5)
def count(ctx: JobContext, steps: int, seconds: float) -> dict[str, Any]:
    for step in range(ctx.checkpoint.get("done", 0), steps):
        time.sleep(seconds)
        with data_path("steps.txt").open("a") as file:
            file.write(f"{step}\n")
        ctx.save_checkpoint({"done": step + 1})
        ctx.progress(step + 1, steps)
    return {"counted": steps}
