"""O5: back up while readers write, restore elsewhere, and find everything as it was."""

from __future__ import annotations

import io
import sqlite3
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest

from readerstudy.errors import UserError
from readerstudy.ops.backup import read_backup, write_backup
from tests.ops.conftest import Installation


def ignore(done: int, total: int) -> None:
    pass


def test_O5_a_backup_under_load_restores_to_a_whole_installation(
    embedded: Installation, tmp_path: Path
) -> None:
    for number in range(3):
        done = embedded.manage("invite", f"person{number}@example.org")
        assert done.returncode == 0, done.stderr
    frames = embedded.data_dir / "renditions" / "a" / "frames.bin"
    frames.parent.mkdir(parents=True)
    frames.write_bytes(bytes(range(256)) * 4000)
    (embedded.data_dir / "uploads").mkdir()
    (embedded.data_dir / "uploads" / "patient.dcm").write_bytes(b"named patient")
    (embedded.data_dir / "renditions" / ".b.123.part").mkdir()
    (embedded.data_dir / "renditions" / ".b.123.part" / "half").write_bytes(b"half")

    out, stop = tmp_path / "backup.tar", threading.Event()
    writer = threading.Thread(target=write_for_ever, args=(embedded.data_dir, stop))
    writer.start()
    try:
        done = embedded.manage("backup", str(out))
    finally:
        stop.set()
        writer.join()
    assert done.returncode == 0, done.stderr
    assert out.stat().st_mode & 0o077 == 0, "a backup is for its owner alone"
    with tarfile.open(out) as tar:
        assert sorted(tar.getnames()) == [
            "db.sqlite3",
            "demo-secret-key",
            "manifest.json",
            "renditions/a/frames.bin",
        ]

    elsewhere = Installation(
        tmp_path / "elsewhere",
        {**embedded.environ, "READERSTUDY_DATA_DIR": str(tmp_path / "elsewhere")},
    )
    done = elsewhere.manage("restore", str(out))
    assert done.returncode == 0, done.stderr
    assert counts(elsewhere.data_dir) == counts(embedded.data_dir)
    restored = elsewhere.data_dir / "renditions" / "a" / "frames.bin"
    assert restored.read_bytes() == frames.read_bytes()
    assert not list(elsewhere.data_dir.glob("*.part"))
    done = elsewhere.manage("verify_audit")
    assert done.returncode == 0, done.stdout + done.stderr

    done = elsewhere.manage("restore", str(out))
    assert done.returncode == 2
    assert "holds a database already" in done.stderr


def write_for_ever(data_dir: Path, stop: threading.Event) -> None:
    with closing(sqlite3.connect(data_dir / "db.sqlite3", timeout=20)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        while not stop.wait(0.002):
            with connection:
                connection.execute(
                    "INSERT OR REPLACE INTO readerstudy_cache VALUES ('k', 'v', '2999-01-01')"
                )


def counts(data_dir: Path) -> dict[str, int]:
    with closing(sqlite3.connect(data_dir / "db.sqlite3")) as connection:
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
            if name not in {"readerstudy_cache", "sqlite_sequence", "sqlite_stat1"}
        ]
        return {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for name in tables
        }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "db.sqlite3")) as connection:
        connection.execute("CREATE TABLE t (x)")
    (folder / "volumes").mkdir()
    (folder / "volumes" / "ct.npy").write_bytes(b"voxels" * 1000)
    return folder


def test_a_damaged_backup_restores_nothing(source: Path, tmp_path: Path) -> None:
    out, target = tmp_path / "b.tar", tmp_path / "target"
    write_backup(source, out, ignore)
    damaged = bytearray(out.read_bytes())
    at = bytes(damaged).index(b"voxelsvoxels")
    damaged[at] ^= 1
    out.write_bytes(damaged)
    with pytest.raises(UserError, match=r"volumes/ct\.npy is not what was backed up"):
        read_backup(out, target, ignore)
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 100, 5000, -20_000])
def test_a_truncated_backup_restores_nothing(source: Path, tmp_path: Path, cut: int) -> None:
    out, target = tmp_path / "b.tar", tmp_path / "target"
    write_backup(source, out, ignore)
    out.write_bytes(out.read_bytes()[:cut])
    with pytest.raises(UserError, match="cannot be restored"):
        read_backup(out, target, ignore)
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "volumes/../../evil"])
def test_a_backup_cannot_write_outside_the_data_directory(tmp_path: Path, name: str) -> None:
    out, target = tmp_path / "b.tar", tmp_path / "target"
    with tarfile.open(out, "w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"evil"))
    with pytest.raises(UserError, match="which no backup of ours has"):
        read_backup(out, target, ignore)
    assert not (tmp_path / "evil").exists()


def test_a_link_in_a_backup_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "b.tar"
    with tarfile.open(out, "w") as tar:
        entry = tarfile.TarInfo("db.sqlite3")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry)
    with pytest.raises(UserError, match="which no backup of ours has"):
        read_backup(out, tmp_path / "target", ignore)


def test_a_backup_never_overwrites_and_leaves_nothing_half_written(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "b.tar"
    out.write_bytes(b"yesterday")
    with pytest.raises(UserError, match="exists already"):
        write_backup(source, out, ignore)
    assert out.read_bytes() == b"yesterday"
    with pytest.raises(UserError, match="could not be written"):
        write_backup(source, tmp_path / "missing" / "b.tar", ignore)
    with pytest.raises(UserError, match="There is no database"):
        write_backup(tmp_path, tmp_path / "c.tar", ignore)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["b.tar"]
