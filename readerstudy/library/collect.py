"""From paths (folders, files, zips) to the list of files an import looks at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from readerstudy.library.imaging.archive import looks_like_zip, unpack
from readerstudy.library.imaging.errors import ImagingError
from readerstudy.library.imaging.scan import Source

from .errors import LibraryError

IGNORED = {".DS_Store", "Thumbs.db", "desktop.ini"}


def collect(
    given: list[Source], scratch: Path, progress: Callable[[int, int], None] | None = None
) -> list[Source]:
    """Files to look at; zips are unpacked below ``scratch`` (the caller removes it).

    Raises LibraryError naming the zip that cannot be unpacked.
    """
    sources: list[Source] = []
    for number, source in enumerate(given):
        if not _is_zip(source):
            sources.append(source)
            continue
        try:
            files = unpack(source.path, scratch / f"{number:04d}", progress=progress)
        except ImagingError as error:
            raise LibraryError(f"{source.name}: {error}.") from None
        sources += [Source(file.path, file.name) for file in files]
    return sources


def files_below(path: Path) -> Iterator[Source]:
    """The file itself, or all files below a folder. Raises LibraryError when there is nothing."""
    if path.is_file():
        yield Source(path, path.name)
        return
    if not path.is_dir():
        raise LibraryError(f"There is no {path}; give a folder, a file or a zip archive.")
    if not os.access(path, os.R_OK | os.X_OK):
        raise LibraryError(f"{path} cannot be read; check its permissions.")
    empty = True
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder) / name
            if name in IGNORED or name.startswith("._") or not file.is_file():
                continue
            empty = False
            yield Source(file, str(file.relative_to(path)))
    if empty:
        raise LibraryError(f"{path} holds no file.")


def _is_zip(source: Source) -> bool:
    if source.name.lower().endswith(".zip"):
        return True
    try:
        with source.path.open("rb") as file:
            return looks_like_zip(file.read(4))
    except OSError as error:
        raise LibraryError(f"{source.name} cannot be read ({error.strerror}).") from None
