from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from readerstudy.library.imaging.scan import Findings, Source, scan


@pytest.fixture
def look() -> Callable[[Path], Findings]:
    """Scan a folder as an import does."""

    def run(folder: Path) -> Findings:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return scan(Source(path, str(path.relative_to(folder))) for path in files)

    return run


@pytest.fixture
def stored_nothing(data_dir: Path) -> Callable[[], None]:
    """Asserts that no volume, mask or file of one is left anywhere."""

    def check() -> None:
        from readerstudy.library.models import Mask, Volume

        assert not Volume.objects.exists()
        assert not Mask.objects.exists()
        left = [path for path in data_dir.rglob("*") if path.is_file()]
        assert not [path for path in left if "volumes" in path.parts], left

    return check


@pytest.fixture
def no_upload_left(data_dir: Path) -> Callable[[], None]:
    """Asserts that the bytes of all uploads are gone."""

    def check() -> None:
        folder = data_dir / "uploads"
        left = list(folder.rglob("*")) if folder.exists() else []
        assert left == []

    return check


def only(items: list[Any]) -> Any:
    assert len(items) == 1, items
    return items[0]
