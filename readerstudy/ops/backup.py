"""One file that holds an installation: a consistent copy of the database, and the data files.

The database is copied first, through SQLite's backup API, while readers go on reading. Data files
are written once under names of their own and never changed, so whatever the copied database
points to is complete on disk by then.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO, Any

from django.utils import timezone

from readerstudy.errors import UserError

FORMAT = 1
DATABASE, MANIFEST = "db.sqlite3", "manifest.json"
# Uploads may still hold patient data, static files are rebuilt, logs and locks are of the moment.
LEFT_OUT = {
    "uploads",
    "static",
    "logs",
    "demo.lock",
    DATABASE,
    f"{DATABASE}-wal",
    f"{DATABASE}-shm",
}
CHUNK = 1 << 20

Progress = Callable[[int, int], None]


def data_files(data_dir: Path) -> Iterator[tuple[str, Path]]:
    """(name in the backup, path) of every finished data file, in a stable order."""
    for path in sorted(data_dir.rglob("*")):
        name = path.relative_to(data_dir)
        unfinished = any(part.endswith(".part") for part in name.parts)
        if name.parts[0] in LEFT_OUT or unfinished or path.is_symlink() or not path.is_file():
            continue
        yield name.as_posix(), path


def copy_database(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=20)) as live,
        closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)


class _Hashing(io.RawIOBase):
    """A file that hashes what is read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.sha256 = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.sha256.update(data)
        return data


def write_backup(data_dir: Path, out: Path, progress: Progress) -> dict[str, Any]:
    """Write the backup to `out` (all or nothing) and return its manifest.

    Raises UserError when there is no database or `out` cannot be written.
    """
    if not (data_dir / DATABASE).exists():
        raise UserError(
            f"There is no database in {data_dir}; set READERSTUDY_DATA_DIR to the data."
        )
    if out.exists():
        raise UserError(f"{out} exists already; give the backup another name.")
    beside = out.with_name(f".{out.name}.part")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            manifest = _write(data_dir, file, progress)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, out)
    except OSError as error:
        raise UserError(
            f"The backup {out} could not be written ({error.strerror or error}); "
            "choose a folder with enough room."
        ) from None
    finally:
        beside.unlink(missing_ok=True)
    return manifest


def _write(data_dir: Path, file: IO[bytes], progress: Progress) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(dir=data_dir, suffix=".part") as scratch,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        copy = Path(scratch) / DATABASE
        copy_database(data_dir / DATABASE, copy)
        files = [(DATABASE, copy), *data_files(data_dir)]
        sizes = {name: path.stat().st_size for name, path in files}
        hashes, done, total = {}, 0, sum(sizes.values())
        for name, path in files:
            hashes[name] = _add(tar, name, path)
            done += sizes[name]
            progress(done, total)
        manifest = {
            "format": FORMAT,
            "made_at": timezone.now().isoformat(timespec="seconds"),
            "files": hashes,
        }
        text = json.dumps(manifest, indent=1, sort_keys=True).encode()
        entry = tarfile.TarInfo(MANIFEST)
        entry.size, entry.mode = len(text), 0o600
        tar.addfile(entry, io.BytesIO(text))
    return manifest


def _add(tar: tarfile.TarFile, name: str, path: Path) -> str:
    with path.open("rb") as file:
        entry = tar.gettarinfo(arcname=name, fileobj=file)
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        hashing = _Hashing(file)
        tar.addfile(entry, hashing)  # type: ignore[arg-type]
    return hashing.sha256.hexdigest()


def read_backup(source: Path, data_dir: Path, progress: Progress) -> dict[str, Any]:
    """Unpack a backup into a data directory that has no database, all or nothing.

    Every file is compared with its SHA-256 before anything is put in place. Returns the manifest.
    Raises UserError when the directory is in use or the backup is damaged.
    """
    if (data_dir / DATABASE).exists():
        raise UserError(
            f"{data_dir} holds a database already; set READERSTUDY_DATA_DIR to an empty folder, "
            "so that nothing is overwritten."
        )
    data_dir.mkdir(parents=True, exist_ok=True)
    # On the same file system, so that what has been checked is moved and not copied again.
    scratch = Path(tempfile.mkdtemp(dir=data_dir, suffix=".part"))
    try:
        manifest = _unpack(source, scratch, progress)
        for name in sorted(manifest["files"], key=lambda name: name == DATABASE):
            target = data_dir / name  # the database last: it makes the installation
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(scratch / name, target)
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise UserError(
            f"{source} cannot be restored ({error}); use another copy of the backup."
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def _unpack(source: Path, scratch: Path, progress: Progress) -> dict[str, Any]:
    found: dict[str, str] = {}
    manifest: dict[str, Any] | None = None
    size, done = source.stat().st_size, 0
    with tarfile.open(source, mode="r:") as tar:
        for entry in tar:
            file = tar.extractfile(entry) if entry.isfile() else None
            if file is None or not _is_inside(entry.name):
                raise ValueError(f"it holds {entry.name!r}, which no backup of ours has")
            if entry.name == MANIFEST:
                manifest = json.loads(file.read())
                continue
            found[entry.name] = _extract(file, scratch / entry.name, entry.mode)
            done += entry.size
            progress(done, size)
    if manifest is None or manifest.get("format") != FORMAT:
        raise ValueError("it has no manifest of this version")
    if found != manifest["files"]:
        wrong = sorted(set(found.items()) ^ set(manifest["files"].items()))
        raise ValueError(f"{wrong[0][0]} is not what was backed up")
    return manifest


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and bool(path.parts)


def _extract(file: IO[bytes], target: Path, mode: int) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    sha256 = hashlib.sha256()
    with target.open("xb") as out:
        while data := file.read(CHUNK):
            sha256.update(data)
            out.write(data)
        os.fchmod(out.fileno(), mode & 0o777)
        out.flush()
        os.fsync(out.fileno())
    return sha256.hexdigest()
