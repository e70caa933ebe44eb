"""U1: zips that try to leave their folder, hide their size, or are not zips."""

from __future__ import annotations

import stat
import struct
import tracemalloc
import zipfile
import zlib

import pytest

from readerstudy.library.imaging.archive import ZipLimits, check, clean_name, unpack
from readerstudy.library.imaging.errors import ImagingError

from .makers import zip_of

SMALL = ZipLimits(entries=50, total_bytes=8 << 20, ratio=50, ratio_from_bytes=1 << 20)


def entry(name, **values):
    item = zipfile.ZipInfo(name)
    for key, value in values.items():
        setattr(item, key, value)
    return item


def make(path, *entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for item, content in entries:
            archive.writestr(item, content, zipfile.ZIP_DEFLATED)
    return path


LINK = (stat.S_IFLNK | 0o777) << 16
EVIL = {
    "traversal": ([(entry("../x"), b"1")], "leads out of its folder"),
    "deep traversal": ([(entry("a/../../x"), b"1")], "leads out of its folder"),
    "backslashes": ([(entry("..\\x"), b"1")], "leads out of its folder"),
    "absolute": ([(entry("/etc/passwd"), b"1")], "absolute path"),
    "drive": ([(entry("C:/x"), b"1")], "absolute path"),
    "symlink": ([(entry("x", external_attr=LINK), b"/etc/passwd")], "link or device"),
    "nested": ([(entry("inner.zip"), b"PK")], "archive within the archive"),
    "too many": ([(entry(f"{n}"), b"") for n in range(51)], "at most 50"),
    "too large": ([(entry("x"), bytes(9 << 20))], "unpacks to 0.0 GB"),
    "too dense": ([(entry("x"), bytes(4 << 20))], "times its size"),
    "control characters": ([(entry("a\x01b"), b"1")], "control characters"),
}


@pytest.mark.parametrize(("entries", "words"), EVIL.values(), ids=EVIL)
def test_U1_refused_by_its_directory_before_anything_is_unpacked(tmp_path, entries, words):
    path = make(tmp_path / "a.zip", *entries)
    with pytest.raises(ImagingError, match=words):
        check(path, SMALL)
    with pytest.raises(ImagingError, match=words):
        unpack(path, tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


def test_ten_thousand_entries_and_a_gigabyte_of_zeros_are_refused_by_default(tmp_path):
    many = make(tmp_path / "many.zip", *[(entry(f"{n}"), b"") for n in range(10_000)])
    with pytest.raises(ImagingError, match="10,000 files; at most 5,000"):
        check(many)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("z", "w") as out:
        for _ in range(1024):
            out.write(bytes(1 << 20))
    assert bomb.stat().st_size < 1_100_000
    with pytest.raises(ImagingError, match="times its size, as no CT does"):
        check(bomb)


def test_a_nested_zip_under_another_name_is_refused_while_unpacking(tmp_path):
    inner = zip_of(tmp_path / "inner.zip", {"x": b"1"})
    path = zip_of(tmp_path / "a.zip", {"innocent.dat": inner})
    with pytest.raises(ImagingError, match="archive within the archive"):
        unpack(path, tmp_path / "out", SMALL)


def test_a_size_that_lies_is_noticed_while_unpacking(tmp_path):
    """The directory claims 10 bytes, the stream holds 3 MB."""
    path = make(tmp_path / "a.zip", (entry("x"), bytes(3 << 20)))
    raw = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = raw.index(mark) + offset
        raw[at : at + 4] = struct.pack("<I", 10)
    path.write_bytes(bytes(raw))
    tracemalloc.start()
    with pytest.raises(ImagingError, match="broken"):
        unpack(path, tmp_path / "out", SMALL)
    assert tracemalloc.get_traced_memory()[1] < 3 << 20
    tracemalloc.stop()


def test_encrypted_broken_and_truncated_archives(tmp_path):
    path = make(tmp_path / "a.zip", (entry("x"), b"hello" * 100))
    whole = path.read_bytes()
    flagged = bytearray(whole)
    flagged[flagged.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "b.zip").write_bytes(bytes(flagged))
    with pytest.raises(ImagingError, match="encrypted"):
        check(tmp_path / "b.zip")
    (tmp_path / "c.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImagingError, match="broken or cut off"):
        check(tmp_path / "c.zip")
    damaged = bytearray(whole)
    damaged[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "d.zip").write_bytes(bytes(damaged))
    with pytest.raises(ImagingError, match="broken or cut off"):
        unpack(tmp_path / "d.zip", tmp_path / "out")
    (tmp_path / "e.zip").write_bytes(zlib.compress(b"no zip"))
    with pytest.raises(ImagingError, match="called a zip archive but is none"):
        check(tmp_path / "e.zip")


def test_files_come_out_under_numbers_with_their_names_beside(tmp_path):
    path = zip_of(
        tmp_path / "a.zip",
        {
            "b/IM1": b"one",
            "b/Ünïcode name.dcm": b"two",
            "__MACOSX/._IM1": b"x",
            "b/.DS_Store": b"x",
        },
    )
    files = unpack(path, tmp_path / "out")
    assert [(file.name, file.path.read_bytes()) for file in files] == [
        ("b/IM1", b"one"),
        ("b/Ünïcode name.dcm", b"two"),
    ]
    assert all(file.path.name.isdigit() for file in files)


@pytest.mark.parametrize("name", ["", "x" * 500, "a\nb", "../a", "/a", "c:\\a", "a/\x00b"])
def test_names_that_are_not_taken(name):
    with pytest.raises(ImagingError):
        clean_name(name)


def test_names_that_are():
    assert clean_name("CT\\slice 1.dcm") == "CT/slice 1.dcm"
    assert clean_name("./a/b") == "a/b"
    assert clean_name("..dots..in..name") == "..dots..in..name"
