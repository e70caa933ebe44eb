"""HU and geometry come out exactly as pydicom and SimpleITK read them, whatever the coding."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from .conftest import only
from .makers import phantom, save, slice_dataset, write_series

ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "feet first prone": (-1, 0, 0, 0, 1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (0.96, 0.28, 0, -0.168, 0.576, 0.8),
}


def compress(syntax):
    def edit(ds, index):
        ds.compress(syntax, generate_instance_uid=False)

    return edit


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_U5_hu_geometry_and_order_equal_simpleitk(tmp_path, look, orientation):
    hu = phantom()
    write_series(tmp_path, hu, orientation=orientation)
    data, _ = only(look(tmp_path).volumes).read()
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    assert np.array_equal(data.hu, hu)
    assert np.array_equal(data.hu, sitk.GetArrayFromImage(image))
    assert np.allclose(data.geometry.spacing, image.GetSpacing(), atol=1e-6)
    assert np.allclose(data.geometry.origin, image.GetOrigin(), atol=1e-6)
    assert np.allclose(np.ravel(data.geometry.direction), image.GetDirection(), atol=1e-6)


@pytest.mark.parametrize(
    "syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless], ids=["jpeg-ls", "jpeg2000", "rle"]
)
def test_lossless_codings_give_the_same_hu(tmp_path, look, syntax):
    hu = phantom((4, 48, 64))
    write_series(tmp_path, hu, edit=compress(syntax))
    data, _ = only(look(tmp_path).volumes).read()
    assert np.array_equal(data.hu, hu)


@pytest.mark.parametrize(
    ("syntax", "implicit", "little"),
    [
        (ImplicitVRLittleEndian, True, True),
        (ExplicitVRBigEndian, False, False),
        (DeflatedExplicitVRLittleEndian, False, True),
    ],
    ids=["implicit", "big endian", "deflated"],
)
def test_uncompressed_syntaxes_give_the_same_hu(tmp_path, look, syntax, implicit, little):
    hu = phantom()
    for index, plane in enumerate(hu):
        ds = slice_dataset(plane, index)
        ds.file_meta.TransferSyntaxUID = syntax
        if not little:
            ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
            ds["PixelData"].VR = "OW"
        pydicom.dcmwrite(
            tmp_path / f"{index}.dcm", ds, implicit_vr=implicit, little_endian=little,
            enforce_file_format=True,
        )  # fmt: skip
    data, _ = only(look(tmp_path).volumes).read()
    assert np.array_equal(data.hu, hu)


def test_signed_twelve_bit_values_with_rubbish_in_the_unused_bits(tmp_path, look):
    hu = phantom()

    def edit(ds, index):
        stored = (hu[index].astype(np.int64) & 0x0FFF) | 0x5000  # overlay bits of old scanners
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, 1
        ds.RescaleIntercept = "0"
        ds.PixelData = stored.astype("<u2").tobytes()

    write_series(tmp_path, hu, edit=edit)
    data, _ = only(look(tmp_path).volumes).read()
    assert np.array_equal(data.hu, hu)


def test_each_slice_has_its_own_rescale(tmp_path, look):
    hu = phantom()
    for index, plane in enumerate(hu):
        save(slice_dataset(plane, index, intercept=-1024 - index), tmp_path / f"{index}.dcm")
    data, _ = only(look(tmp_path).volumes).read()
    assert np.array_equal(data.hu, hu)


def test_a_slope_of_one_half_is_kept_where_all_hu_are_whole(tmp_path, look):
    hu = phantom()
    write_series(tmp_path, hu, slope=0.5)
    data, _ = only(look(tmp_path).volumes).read()
    assert np.array_equal(data.hu, hu)


def test_an_enhanced_multi_frame_file_is_one_volume(tmp_path, look):
    from pydicom.dataset import Dataset

    hu = phantom()
    ds = slice_dataset(hu[0], 0)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    order = [3, 0, 5, 1, 4, 2]
    ds.NumberOfFrames = len(order)
    ds.PixelData = b"".join((hu[k].astype(np.int32) + 1024).astype("<u2").tobytes() for k in order)

    def group(**items):
        outer = Dataset()
        for keyword, values in items.items():
            inner = Dataset()
            for name, value in values.items():
                setattr(inner, name, value)
            setattr(outer, keyword, [inner])
        return outer

    ds.SharedFunctionalGroupsSequence = [
        group(
            PixelMeasuresSequence={"PixelSpacing": ["0.8", "0.7"]},
            PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
            PixelValueTransformationSequence={
                "RescaleSlope": "1", "RescaleIntercept": "-1024", "RescaleType": "HU",
            },
        )
    ]  # fmt: skip
    ds.PerFrameFunctionalGroupsSequence = [
        group(PlanePositionSequence={"ImagePositionPatient": [-100, -90.5, 30.25 + 2.5 * k]})
        for k in order
    ]
    for keyword in ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient",
                    "RescaleSlope", "RescaleIntercept", "RescaleType"):  # fmt: skip
        delattr(ds, keyword)
    save(ds, tmp_path / "enhanced.dcm")
    data, _ = only(look(tmp_path).volumes).read()
    assert np.array_equal(data.hu, hu)
    assert data.geometry.spacing == (0.7, 0.8, 2.5)


def test_two_series_in_one_folder_are_two_volumes(tmp_path, look):
    write_series(tmp_path, phantom(seed=1), prefix="a")
    write_series(tmp_path, phantom(seed=2), prefix="b", uids={"series": "1.2.3.99"})
    found = look(tmp_path)
    assert len(found.volumes) == 2
    assert {volume.read()[0].content_hash() for volume in found.volumes} == {
        volume.read()[0].content_hash() for volume in found.volumes
    }


def test_one_series_with_two_matrices_is_two_volumes(tmp_path, look):
    write_series(tmp_path, phantom(), prefix="a")
    write_series(tmp_path, phantom((5, 16, 16)), prefix="b")
    assert sorted(volume.geometry.shape for volume in look(tmp_path).volumes) == [
        (5, 16, 16),
        (6, 20, 24),
    ]


def test_two_phases_in_one_series_are_told_apart_by_acquisition(tmp_path, look):
    for phase in (1, 2):
        write_series(
            tmp_path,
            phantom(seed=phase),
            prefix=f"p{phase}-",
            edit=lambda ds, index, phase=phase: setattr(ds, "AcquisitionNumber", phase),
        )
    assert len(look(tmp_path).volumes) == 2


def test_the_same_instance_twice_counts_once(tmp_path, look):
    paths = write_series(tmp_path, phantom())
    (tmp_path / "copy.dcm").write_bytes(paths[2].read_bytes())
    found = look(tmp_path)
    assert only(found.volumes).geometry.shape[0] == 6
    assert "the same instance as" in only(found.asides).reason
    assert not only(found.asides).serious


def other(ds, **values):
    for name, value in values.items():
        setattr(ds, name, value)


SORTED_OUT = {
    "localizer": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
    "secondary capture": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary capture"),
    "dose report": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.67"}, "dose report"),
    "MR": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, "not CT"),
    "PET": ({"Modality": "PT"}, "modality PT"),
    "RGB": ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "color image"),
}


@pytest.mark.parametrize(("values", "reason"), SORTED_OUT.values(), ids=SORTED_OUT)
def test_what_is_no_ct_slice_is_left_aside_with_a_reason(tmp_path, look, values, reason):
    write_series(tmp_path, phantom())
    ds = slice_dataset(phantom()[0], 0, uids={"series": "1.2.3.77"})
    other(ds, **values)
    save(ds, tmp_path / "other.dcm")
    found = look(tmp_path)
    assert only(found.volumes).geometry.shape[0] == 6
    aside = only(found.asides)
    assert reason in aside.reason
    assert aside.names == ("other.dcm",)
    assert not aside.serious


def test_a_jittering_table_is_kept_with_a_warning(tmp_path, look):
    def edit(ds, index):
        if index == 3:
            ds.ImagePositionPatient[2] = float(ds.ImagePositionPatient[2]) + 0.06

    write_series(tmp_path, phantom(), edit=edit)
    volume = only(look(tmp_path).volumes)
    assert volume.geometry.spacing[2] == pytest.approx(2.5)
    assert "Slice steps vary" in only(volume.warnings)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"BurnedInAnnotation": "YES"}, "text is burned"),
        ({"LossyImageCompression": "01"}, "compressed with loss"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]}, "DERIVED"),
        ({"BodyPartExamined": "HEAD"}, "face"),
    ],
)
def test_what_a_coordinator_should_know_is_a_warning(tmp_path, look, values, words):
    write_series(tmp_path, phantom(), edit=lambda ds, index: other(ds, **values))
    assert words in only(only(look(tmp_path).volumes).warnings)


def test_files_without_part_10_header_are_read(tmp_path, look):
    hu = phantom()
    for path in write_series(tmp_path, hu):
        ds = pydicom.dcmread(path)
        plain = pydicom.Dataset({element.tag: element for element in ds})
        pydicom.dcmwrite(path, plain, implicit_vr=True, little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
    data, _ = only(look(tmp_path).volumes).read()
    assert np.array_equal(data.hu, hu)
