"""Writing NIfTI, DICOM and SEG: exact back through other readers, always the same bytes."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from readerstudy.library.imaging.geometry import Geometry, VolumeData
from readerstudy.library.imaging.masks import open_mask
from readerstudy.library.imaging.nifti import NiftiFile
from readerstudy.library.imaging.scan import Source, scan
from readerstudy.library.imaging.writing import nifti
from readerstudy.library.imaging.writing.dicom import write_series
from readerstudy.library.imaging.writing.marking import Marking, SourceSlice
from readerstudy.library.imaging.writing.nifti import pack, write_nifti
from readerstudy.library.imaging.writing.seg import write_seg
from tests.library.makers import phantom

OBLIQUE = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))
FLIPPED = ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))
LEFT_HANDED = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0))
DIRECTIONS = [OBLIQUE, FLIPPED, LEFT_HANDED]


def grid(shape, direction=OBLIQUE):
    return Geometry(shape, (0.7, 0.8, 2.5), (-100.0, -90.5, 30.25), direction)


def marking(**changes):
    values = {
        "subject": "SYN-1",
        "key": "key",
        "derivation": "1 synthetic lesion of the liver inserted by a test",
        "description": "liver lesion",
        "software": "readerstudy test",
    }
    return Marking(**values | changes)


@settings(deadline=None, max_examples=25)
@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.sampled_from(DIRECTIONS),
    st.sampled_from([np.int16, np.uint8]),
    st.integers(0, 2**32 - 1),
)
def test_any_volume_comes_back_with_every_voxel(tmp_path_factory, shape, direction, dtype, seed):
    rng = np.random.default_rng(seed)
    ends = np.iinfo(dtype)
    array = rng.integers(ends.min, ends.max, shape, dtype=dtype, endpoint=True)
    path = tmp_path_factory.mktemp("nii") / "a.nii.gz"
    write_nifti(path, pack(array), grid(shape, direction), "test")
    image = nib.load(path)
    assert np.array_equal(np.asarray(image.dataobj).T, array)
    assert image.get_data_dtype() == dtype
    assert NiftiFile(path).geometry.same_grid(grid(shape, direction), tol=1e-4)


def test_blocks_of_an_equal_part_are_taken_from_the_volume_before(monkeypatch, tmp_path):
    monkeypatch.setattr(nifti, "BLOCK_BYTES", 2 * 20 * 24 * 2)
    first = phantom((7, 20, 24))
    base = pack(first)
    second = first.copy()
    second[3, 5, 5] += 40
    deflated = []
    monkeypatch.setattr(
        nifti, "_deflate", lambda data, old=nifti._deflate: deflated.append(1) or old(data)
    )
    changed = pack(second, base)
    assert len(base.blocks) == 4
    assert len(deflated) == 1
    write_nifti(tmp_path / "a.nii.gz", changed, grid(second.shape), "")
    write_nifti(tmp_path / "b.nii.gz", pack(second), grid(second.shape), "")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert np.array_equal(np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj).T, second)


def test_the_gzip_stream_is_whole_for_strict_readers_and_has_no_date(tmp_path):
    import SimpleITK as sitk

    hu = phantom((5, 20, 24))
    path = tmp_path / "a.nii.gz"
    write_nifti(path, pack(hu), grid(hu.shape), "SYNTHETIC test")
    data = path.read_bytes()
    assert data[4:8] == b"\0\0\0\0"
    plain = gzip.decompress(data)
    assert len(plain) == 352 + hu.nbytes
    assert plain[148:162] == b"SYNTHETIC test"
    image = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(image), hu)
    assert image.GetOrigin() == pytest.approx((-100.0, -90.5, 30.25), abs=1e-4)
    assert image.GetDirection() == pytest.approx(np.ravel(OBLIQUE), abs=1e-5)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_series_comes_back_through_the_import(tmp_path, direction):
    hu = phantom()
    hu[0, 0, :4] = [-32768, 32767, -3024, 0]
    data = VolumeData(hu, grid(hu.shape, direction))
    paths = write_series(tmp_path / "a", data, marking())
    found = scan([Source(path, path.name) for path in paths])
    assert not found.asides
    read, _ = found.volumes[0].read()
    assert read.content_hash() == data.content_hash()


def test_a_series_says_all_over_that_it_is_synthetic(tmp_path):
    hu = phantom()
    slices = tuple(SourceSlice((0.0, 0.0, 2.5 * k), f"1.2.3.{k}") for k in range(len(hu)))
    technical = {"KVP": ["120"], "SliceThickness": ["3"]}
    told = marking(slices=slices, technical=technical, name_sources=True)
    paths = write_series(tmp_path / "a", VolumeData(hu, grid(hu.shape)), told)
    for index, path in enumerate(paths):
        ds = pydicom.dcmread(path)
        assert ds[0x0008, 0x001C].value == "YES"
        assert list(ds.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        assert ds.DerivationDescription.startswith("1 synthetic lesion")
        assert [c.CodeValue for c in ds.DerivationCodeSequence] == ["113042", "LESION-SYNTHESIS"]
        source = ds.SourceImageSequence[0]
        assert source.ReferencedSOPInstanceUID == f"1.2.3.{index}"
        assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        equipment = ds[0x0018, 0xA001].value[0]
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
        assert ds.SeriesDescription.startswith("SYNTHETIC")
        assert ds.PatientIdentityRemoved == "YES"
        codes = [c.CodeValue for c in ds.DeidentificationMethodCodeSequence]
        assert codes == ["113100", "113110"]
        assert (ds.KVP, ds.SliceThickness) == (120, 3)
        for uid in (ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.StudyInstanceUID):
            assert uid.startswith("2.25.")
            assert uid.is_valid
        assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID
        assert np.array_equal(pydicom.dcmread(path).pixel_array, hu[index])
    assert len({pydicom.dcmread(path).SOPInstanceUID for path in paths}) == len(paths)


def test_every_value_fits_its_value_representation(tmp_path):
    hu = phantom()
    slices = tuple(SourceSlice((0.1234567890123, -1e-9, 2.5 * k), "1.2") for k in range(len(hu)))
    told = marking(slices=slices, technical={"ConvolutionKernel": ["I41f/3"]})
    paths = write_series(tmp_path / "a", VolumeData(hu, grid(hu.shape)), told)
    mask = hu > 0
    write_seg(tmp_path / "seg.dcm", mask, grid(hu.shape), told, "synthetic liver lesion")
    pydicom.config.settings.reading_validation_mode = pydicom.config.RAISE
    try:
        for path in (*paths, tmp_path / "seg.dcm"):
            for element in pydicom.dcmread(path).iterall():
                assert element.value is not None or element.VR
    finally:
        pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def test_source_uids_are_made_up_unless_they_are_asked_for(tmp_path):
    hu = phantom()
    data = VolumeData(hu, grid(hu.shape))
    written = []
    for root in ("1.2.3", "1.2.4"):
        slices = tuple(SourceSlice((0.0, 0.0, 2.5 * k), f"{root}.{k}") for k in range(len(hu)))
        written.append(write_series(tmp_path / root, data, marking(slices=slices)))
    ds = pydicom.dcmread(written[0][0])
    assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID.startswith("2.25.")
    assert [c.CodeValue for c in ds.DeidentificationMethodCodeSequence] == ["113100"]
    assert all(b"1.2.3." not in path.read_bytes() for path in written[0])
    # Nothing of the native UIDs goes in: a guess of one cannot be confirmed.
    for one, other in zip(*written, strict=True):
        assert one.read_bytes() == other.read_bytes()


#: Attributes that dciodvfy (dicom3tools) asks of a CT image, some of which may be empty.
REQUIRED = (
    "SOPClassUID", "SOPInstanceUID", "StudyDate", "StudyTime", "AccessionNumber", "Modality",
    "Manufacturer", "ReferringPhysicianName", "PatientName", "PatientID", "PatientBirthDate",
    "PatientSex", "StudyInstanceUID", "SeriesInstanceUID", "StudyID", "SeriesNumber",
    "PatientPosition", "FrameOfReferenceUID", "PositionReferenceIndicator",
    "ImageType", "AcquisitionNumber", "InstanceNumber", "KVP", "SliceThickness",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SamplesPerPixel",
    "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "RescaleIntercept", "RescaleSlope", "PixelData",
)  # fmt: skip


def test_a_series_has_every_attribute_that_a_ct_image_must_have(tmp_path):
    hu = phantom()
    for path in write_series(tmp_path / "a", VolumeData(hu, grid(hu.shape)), marking()):
        ds = pydicom.dcmread(path)
        assert not [name for name in REQUIRED if name not in ds]
        assert ds.Laterality == ""
    told = marking(body_part="CHEST")
    ds = pydicom.dcmread(write_series(tmp_path / "b", VolumeData(hu, grid(hu.shape)), told)[0])
    assert ds.BodyPartExamined == "CHEST"
    assert "Laterality" not in ds


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_segmentation_comes_back_on_the_same_grid(tmp_path, direction):
    geometry = grid((6, 20, 24), direction)
    mask = np.zeros(geometry.shape, bool)
    mask[2, 3:9, 4:8] = mask[4, 5:7, 6:20] = True
    path = tmp_path / "seg.dcm"
    write_seg(path, mask, geometry, marking(), "synthetic liver lesion")
    reader = open_mask(path)
    assert reader.segments[0].name == "synthetic liver lesion"
    assert np.array_equal(reader.read([1], geometry), mask)
    import highdicom as hd

    seg = hd.seg.segread(path)
    assert seg.number_of_segments == 1
    assert seg[0x0008, 0x001C].value == "YES"
    assert seg.PatientIdentityRemoved == "YES"


def test_same_input_same_bytes(tmp_path):
    hu = phantom()
    data = VolumeData(hu, grid(hu.shape))
    mask = hu > 0
    for name in "ab":
        write_series(tmp_path / name, data, marking())
        write_seg(tmp_path / name / "seg.dcm", mask, data.geometry, marking(), "lesion")
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_another_key_gives_other_uids():
    names = ("instance", "series", "seg series")
    one, other = marking(), marking(key="other")
    assert not {one.uid(n) for n in names} & {other.uid(n) for n in names}
