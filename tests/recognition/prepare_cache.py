"""Prepare a cache under torchrun, slowly, and note who made what.

python -m torch.distributed.run --nproc-per-node 2 -m tests.recognition.prepare_cache LIST CACHE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from recognition.engine.training import volumes
from recognition.engine.training.lists import read_list
from recognition.engine.training.team import open_team


def main(name: str, cache: str) -> None:
    entries = read_list(name, ("background", "liver", "liver tumor"), tumors=True)
    with open_team("cpu") as team:
        write = volumes._write

        def slow(path, item):
            time.sleep(0.3)
            write(path, item)
            with Path(cache).joinpath(f"made-{team.rank}.txt").open("a") as file:
                file.write(f"{path.name}\n")

        volumes._write = slow
        failed = volumes.Volumes(entries, (4, 4, 4), Path(cache)).prepare(
            team.rank, team.world, lambda _: None
        )
        team.wait()
        assert not failed


if __name__ == "__main__":
    main(*sys.argv[1:])
