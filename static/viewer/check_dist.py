#!/usr/bin/env python3
"""Checks that `dist/` is what `src/` builds: the same files with the same SHA-256.

Standard library only. Installs the locked packages (`npm ci --ignore-scripts`) and builds in a
temporary folder, so that nothing here is touched. Exit status 0: equal; 1: different; 2: cannot
be checked on this machine. `--write` puts the fresh build in place of `dist/` instead.
"""

# ruff: noqa: T201  (a script for a terminal)
from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = ("package.json", "package-lock.json", "vite.config.js", "src")


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by its relative path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def build(folder: Path) -> Path:
    """Copies the sources into `folder`, builds them there and returns the fresh `dist`."""
    for name in SOURCES:
        source = HERE / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy2(source, folder / name)
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise CannotCheck("Node is not installed: install Node 20 or newer to check the viewer.")
    run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
    run([npm, "run", "build"], folder)
    return folder / "dist"


def run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "CI": "1", "NODE_ENV": ""}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-15:])
        raise CannotCheck(f"`{' '.join(command[1:])}` failed in the viewer:\n{tail}")


class CannotCheck(Exception):
    """The build did not run; the message is for a person."""


def difference(committed: dict[str, str], fresh: dict[str, str]) -> list[str]:
    """One line for every file that is not the same on both sides."""
    lines = [f"missing in dist: {name}" for name in sorted(fresh.keys() - committed.keys())]
    lines += [f"no longer built: {name}" for name in sorted(committed.keys() - fresh.keys())]
    lines += [
        f"different: {name}"
        for name in sorted(committed.keys() & fresh.keys())
        if committed[name] != fresh[name]
    ]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace dist/ by the fresh build")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="viewer-") as name:
        try:
            fresh = build(Path(name))
        except CannotCheck as error:
            print(error, file=sys.stderr)
            return 2
        if arguments.write:
            shutil.rmtree(HERE / "dist", ignore_errors=True)
            shutil.copytree(fresh, HERE / "dist")
        committed = hashes(HERE / "dist") if (HERE / "dist").is_dir() else {}
        lines = difference(committed, hashes(fresh))
    if lines:
        print("static/viewer/dist is not what static/viewer/src builds:", file=sys.stderr)
        print(*(f"  {line}" for line in lines), sep="\n", file=sys.stderr)
        print("Run `python3 static/viewer/check_dist.py --write` and commit dist.", file=sys.stderr)
        return 1
    print(f"static/viewer/dist is what src builds ({len(committed)} files).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
