"""U2: each broken or hostile DICOM gives one clear sentence, in bounded memory, never a volume."""

from __future__ import annotations

import resource
import subprocess
import sys
import zlib
from contextlib import suppress

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless

from readerstudy.library.imaging.errors import ImagingError
from tests.conftest import ROOT

from .makers import phantom, save, slice_dataset, write_series


def refuse(folder, look):
    """All reasons a folder gives for not being a volume; reading counts as looking."""
    found = look(folder)
    reasons = [aside.reason for aside in found.asides if aside.serious]
    for volume in found.volumes:
        with pytest.raises(ImagingError) as caught:
            volume.read()
        reasons.append(str(caught.value))
    assert reasons, "nothing was refused"
    return reasons


def set_on(index, **values):
    def edit(ds, at):
        if index in (at, "all"):
            for name, value in values.items():
                if value is None:
                    delattr(ds, name)
                else:
                    setattr(ds, name, value)

    return edit


HEADERS = {
    "gap": (lambda ds, at: at != 3, {}, "1 slice missing: .* are 5.00 mm apart, the others 2.50"),
    "negative spacing": (set_on("all", PixelSpacing=["-0.7", "0.7"]), {}, "must be positive"),
    "65,535 squared": (set_on(2, Rows=65535, Columns=65535), {}, "65,535 x 65,535 pixels"),
    "no pixel data": (set_on(2, PixelData=None), {}, "no pixel data"),
    "no position": (set_on(2, ImagePositionPatient=None), {}, "image position is missing"),
    "no orientation": (set_on(2, ImageOrientationPatient=None), {}, "orientation is missing"),
    "no spacing": (set_on(2, PixelSpacing=None), {}, "pixel spacing is missing"),
    "no rescale": (set_on("all", RescaleSlope=None), {}, "not HU"),
    "other unit": (set_on("all", RescaleType="MGML"), {}, "in MGML, not in HU"),
    "inverted": (set_on("all", PhotometricInterpretation="MONOCHROME1"), {}, "inverted"),
    "multi-frame": (set_on(2, NumberOfFrames=4), {}, "multi-frame file of 4 frames"),
    "two at one place": (
        lambda ds, at: setattr(ds, "ImagePositionPatient", [0, 0, 5 * (at // 2)]),
        {},
        "two different images at the same place",
    ),
    "gantry tilt": (None, {"step": (0, 0.65, 2.4)}, "gantry tilt of 15.2 degrees"),
    "fractional HU": (None, {"slope": 0.3}, "not whole HU"),
    "too wide for int16": (set_on("all", RescaleIntercept="40000"), {}, "beyond HU"),
    "skewed axes": (set_on("all", ImageOrientationPatient=[1, 0, 0, 0.3, 0.954, 0]), {}, "right"),
    "two patients": (set_on(2, PatientID="other"), {}, "more than one patient"),
}  # fmt: skip


@pytest.mark.parametrize(("edit", "options", "words"), HEADERS.values(), ids=HEADERS)
def test_U2_one_clear_sentence(tmp_path, look, edit, options, words):
    import re

    write_series(tmp_path, phantom(), edit=edit, **options)
    reasons = refuse(tmp_path, look)
    assert any(re.search(words, reason) for reason in reasons), reasons


def test_mixed_spacing(tmp_path, look):
    places = [0, 2.5, 5, 10, 15, 20]
    write_series(
        tmp_path,
        phantom(),
        edit=lambda ds, at: setattr(ds, "ImagePositionPatient", [0, 0, places[at]]),
    )
    assert any("slice" in reason and "2.5" in reason for reason in refuse(tmp_path, look))


def test_a_truncated_slice_refuses_its_whole_series(tmp_path, look):
    """Also the last one: without it the volume would be one slice short and nobody would know."""
    paths = write_series(tmp_path, phantom(), order=range(6))
    paths[-1].write_bytes(paths[-1].read_bytes()[:-300])
    reasons = refuse(tmp_path, look)
    assert any("it is cut off: 660 of 960 bytes" in reason for reason in reasons), reasons
    assert any("incomplete without IM5.dcm" in reason for reason in reasons)
    assert not look(tmp_path).volumes


@pytest.mark.parametrize("keep", [4, 140, 200, 400, 900])
def test_a_slice_cut_anywhere_in_its_header_refuses_its_series(tmp_path, look, keep):
    paths = write_series(tmp_path, phantom(), order=range(6))
    paths[-1].write_bytes(paths[-1].read_bytes()[:keep])
    refuse(tmp_path, look)
    assert not look(tmp_path).volumes


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless], ids=["j2k", "jls"])
def test_a_codestream_cut_off_is_refused(tmp_path, look, syntax):
    def edit(ds, at):
        ds.compress(syntax, generate_instance_uid=False)
        if at == 2:
            data = ds.PixelData
            ds.PixelData = data[:60] + bytes(len(data) - 68) + data[-8:]

    write_series(tmp_path, phantom((4, 48, 64)), edit=edit)
    assert any("broken or cut off" in reason for reason in refuse(tmp_path, look))


def test_a_codestream_larger_than_its_header_is_refused_before_decoding(tmp_path, look):
    def edit(ds, at):
        ds.compress(JPEG2000Lossless, generate_instance_uid=False)
        if at == 2:
            size = ds.PixelData.index(b"\xff\x51") + 6
            claimed = (65_000).to_bytes(4, "big") * 2
            ds.PixelData = ds.PixelData[:size] + claimed + ds.PixelData[size + 8 :]

    write_series(tmp_path, phantom((4, 48, 64)), edit=edit)
    assert any("65,000 x 65,000" in reason for reason in refuse(tmp_path, look))


def test_a_coding_nobody_here_can_read_is_named(tmp_path, look):
    def edit(ds, at):
        ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"
        ds.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
        ds["PixelData"].is_undefined_length = True

    write_series(tmp_path, phantom(), edit=edit)
    assert any("JPEG Lossless" in reason for reason in refuse(tmp_path, look))
    assert JPEGBaseline8Bit  # the lossy ones are refused the same way or carry a warning


def deflated_bomb(path, megabytes):
    """A deflated file of some hundred KB whose data set inflates to ``megabytes``."""
    ds = slice_dataset(phantom()[0], 0)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    save(ds, path)
    whole = path.read_bytes()
    start = 144 + pydicom.filereader.read_file_meta_info(path).FileMetaInformationGroupLength
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = zlib.decompress(whole[start:], -zlib.MAX_WBITS)
    first = packer.compress(body) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(whole[:start] + first + zeros * megabytes + packer.flush())


def test_a_deflate_bomb_stays_within_bounded_memory(tmp_path):
    """U2 with ``ulimit -v``: 2 GB inside, looked at by a process that may have 1.5 GB in all."""
    deflated_bomb(tmp_path / "bomb.dcm", 2000)
    assert (tmp_path / "bomb.dcm").stat().st_size < 4_000_000
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from readerstudy.library.imaging.scan import Source, scan\n"
        "found = scan([Source(Path(sys.argv[1]), 'bomb.dcm')])\n"
        "print(found.asides[0].reason)\n"
    )
    limit = 1_500_000_000
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "bomb.dcm")],
        capture_output=True, text=True, cwd=ROOT, check=False,
        env={"OPENBLAS_NUM_THREADS": "1", "PATH": ""},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert "inflates to more than 512 MB" in done.stdout, done.stderr


def test_an_empty_and_a_foreign_file_are_left_aside(tmp_path, look):
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "fake.dcm").write_text("not dicom at all, but called so " * 10)
    reasons = {aside.names[0]: aside.reason for aside in look(tmp_path).asides}
    assert reasons["empty.dcm"] == "it is empty"
    assert reasons["notes.txt"] == "neither DICOM nor NIfTI"
    assert reasons["fake.dcm"] == "it is not a DICOM file"


def test_too_few_slices_are_no_volume(tmp_path, look):
    write_series(tmp_path, phantom((2, 8, 8)))
    found = look(tmp_path)
    assert not found.volumes
    assert "only 2 slices" in found.asides[0].reason


def test_random_damage_never_raises_anything_but_a_sentence(tmp_path, look):
    """Bytes flipped at random in a header and in pixel data: a volume, or a reason."""
    rng = np.random.default_rng(7)
    paths = write_series(tmp_path, phantom((3, 8, 8)), order=range(3))
    clean = paths[1].read_bytes()
    for _ in range(150):
        damaged = bytearray(clean)
        for at in rng.integers(132, len(clean), 4):
            damaged[at] = rng.integers(0, 256)
        paths[1].write_bytes(bytes(damaged))
        found = look(tmp_path)
        for volume in found.volumes:
            with suppress(ImagingError):
                volume.read()
