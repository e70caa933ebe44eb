"""Zip archives from strangers: every name and size is judged before and while unpacking."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from readerstudy.library.imaging.errors import ImagingError

CHUNK = 1 << 20
MAX_NAME = 400


@dataclass(frozen=True)
class ZipLimits:
    """Bounds of one archive. A CT study of 3,000 uncompressed slices fits well within them."""

    entries: int = 5_000
    total_bytes: int = 4 << 30
    # CT packs 2 to 5 times, a mask some hundred times: over a whole archive of some size a
    # larger ratio is a bomb.
    ratio: int = 100
    ratio_from_bytes: int = 256 << 20


@dataclass(frozen=True)
class Unpacked:
    """A file unpacked under a number; ``name`` is what the archive called it, for messages."""

    path: Path
    name: str


def looks_like_zip(head: bytes) -> bool:
    return head[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def clean_name(name: str) -> str:
    """A relative path with forward slashes.

    Raises:
        ImagingError: it is absolute, leaves its folder, or holds control characters.
    """
    shown = ascii(name[:80])
    if not name or len(name) > MAX_NAME:
        raise ImagingError(f"the file name {shown} is empty or longer than {MAX_NAME} characters")
    path = name.replace("\\", "/")
    if path.startswith("/") or (len(path) > 1 and path[1] == ":"):
        raise ImagingError(f"the file name {shown} is an absolute path")
    if ".." in PurePosixPath(path).parts:
        raise ImagingError(f"the file name {shown} leads out of its folder")
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise ImagingError(f"the file name {shown} holds control characters")
    return str(PurePosixPath(path))


def check(archive: Path, limits: ZipLimits | None = None) -> None:
    """Judge names and claimed sizes without unpacking anything.

    Raises:
        ImagingError: as `unpack`.
    """
    limits = limits or ZipLimits()
    _check_directory(archive, limits)
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [item for item in opened.infolist() if not item.is_dir()]
    except (zipfile.BadZipFile, EOFError, struct.error, NotImplementedError, ValueError):
        raise ImagingError("the zip archive is broken or cut off; make it again") from None
    for item in entries:
        _checked(item)
    _check_sizes(archive, entries, limits)


def unpack(
    archive: Path,
    folder: Path,
    limits: ZipLimits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Unpacked]:
    """Unpack into ``folder`` under numbers, never under names of the archive.

    Memory stays bounded; what was unpacked before an error is for the caller to remove.

    Raises:
        ImagingError: not a zip, broken, encrypted, a bomb, or with names that leave the folder.
    """
    limits = limits or ZipLimits()
    check(archive, limits)
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [item for item in opened.infolist() if not item.is_dir()]
            names = [_checked(item) for item in entries]
            done: list[Unpacked] = []
            folder.mkdir(parents=True, exist_ok=True)
            for index, (item, name) in enumerate(zip(entries, names, strict=True)):
                target = folder / f"{index:06d}"
                _copy(opened, item, target)
                if not _ignored(name):
                    done.append(Unpacked(target, name))
                if progress:
                    progress(index + 1, len(entries))
            return done
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError):
        raise ImagingError("the zip archive is broken or cut off; make it again") from None


def _check_directory(archive: Path, limits: ZipLimits) -> None:
    """Look at the end record before zipfile reads the whole directory into memory."""
    size = archive.stat().st_size
    with archive.open("rb") as file:
        if not looks_like_zip(file.read(4)):
            raise ImagingError("it is called a zip archive but is none")
        file.seek(max(0, size - 65_557))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise ImagingError("the zip archive is broken or cut off; make it again")
    count, directory = struct.unpack_from("<HI", tail, at + 10)
    if tail.rfind(b"PK\x06\x07", 0, at) >= 0:  # zip64: the counts are in another record
        record = tail.rfind(b"PK\x06\x06", 0, at)
        if record < 0 or len(tail) < record + 48:
            raise ImagingError("the zip archive is broken or cut off; make it again")
        count, directory = struct.unpack_from("<QQ", tail, record + 32)
    if count > limits.entries or directory > limits.entries * 1024:
        raise ImagingError(
            f"the zip archive holds {count:,} files; at most {limits.entries:,} are read from one"
        )


def _checked(item: zipfile.ZipInfo) -> str:
    name = clean_name(item.filename)
    kind = stat.S_IFMT(item.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise ImagingError(f"{name} in the zip archive is a link or device, not a file")
    if item.flag_bits & 0x1:
        raise ImagingError("the zip archive is encrypted; unpack it first")
    if name.lower().endswith((".zip", ".7z", ".rar", ".tar", ".tgz", ".tar.gz")):
        raise ImagingError(f"{name} is an archive within the archive; unpack it first")
    return name


def _check_sizes(archive: Path, entries: list[zipfile.ZipInfo], limits: ZipLimits) -> None:
    total = sum(item.file_size for item in entries)
    if len(entries) > limits.entries:
        raise ImagingError(
            f"the zip archive holds {len(entries):,} files; at most {limits.entries:,} are read"
        )
    if total > limits.total_bytes:
        raise ImagingError(
            f"the zip archive unpacks to {total / 1e9:.1f} GB; at most "
            f"{limits.total_bytes / 1e9:.1f} GB are read from one"
        )
    packed = max(1, archive.stat().st_size)
    if total > limits.ratio_from_bytes and total / packed > limits.ratio:
        raise ImagingError(
            f"the zip archive unpacks to {total / packed:,.0f} times its size, as no CT does"
        )


def _copy(opened: zipfile.ZipFile, item: zipfile.ZipInfo, target: Path) -> None:
    """Unpack one file. zipfile never gives more bytes than the directory claims, and those
    claims were summed before."""
    with opened.open(item) as source, target.open("xb") as out:
        first = True
        while chunk := source.read(CHUNK):
            if first and looks_like_zip(chunk):
                raise ImagingError(
                    f"{item.filename} is an archive within the archive; unpack it first"
                )
            first = False
            out.write(chunk)


def _ignored(name: str) -> bool:
    """Files an operating system adds on its own."""
    parts = PurePosixPath(name).parts
    return (
        "__MACOSX" in parts or parts[-1].startswith("._") or parts[-1] in (".DS_Store", "Thumbs.db")
    )
