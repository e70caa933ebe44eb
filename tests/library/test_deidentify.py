"""U3: nothing identifying comes out; the report names attributes, never values."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydicom.dataset import Dataset

from readerstudy.library.imaging.deidentify import HeaderTally, looks_burned_in

from .conftest import only
from .makers import phantom, slice_dataset, write_series

SECRETS = ["Doe", "MRN-4711", "19500101", "20200102", "St. Elsewhere", "Dr Who", "hidden", "Flat 3"]


def fill(ds: Dataset, index: int) -> None:
    ds.InstitutionName = "St. Elsewhere"
    ds.ReferringPhysicianName = "Dr Who"
    ds.PatientComments = "lives in Flat 3"
    ds.ImageComments = "Doe, Jane"
    ds.ConvolutionKernel = "Doe Jane MRN-4711"
    ds.Manufacturer = "SIEMENS of St. Elsewhere"
    ds.KVP = "120"
    ds.StudyDescription = "Jane Doe staging"
    request = Dataset()
    request.RequestedProcedureDescription = "for Jane Doe"
    ds.RequestAttributesSequence = [request]
    block = ds.private_block(0x0011, "Doe Clinic", create=True)
    block.add_new(0x01, "LO", "hidden Doe")
    ds.add_new(0x60003000, "OW", b"\0" * 60)  # an overlay may hold drawn text
    ds.add_new(0x00104000, "LT", "Doe again")


def test_U3_nothing_identifying_is_in_what_an_import_keeps(tmp_path, look):
    write_series(tmp_path, phantom(), edit=fill)
    volume = only(look(tmp_path).volumes)
    _, report = volume.read()
    text = json.dumps([report, volume.warnings])
    assert not [secret for secret in SECRETS if secret in text]
    assert report["kept"] == {
        "KVP": ["120"],
        "Manufacturer": ["SIEMENS"],
        "SliceThickness": ["2.5"],
    }
    assert report["files"] == 6
    assert report["private"] == 12
    gone = {**report["removed"], **report["replaced"], **report["left_out"]}
    for name in ("PatientName", "PatientID", "PatientBirthDate", "InstitutionName", "StudyDate",
                 "ReferringPhysicianName", "ConvolutionKernel", "StudyDescription",
                 "ImageComments", "RequestAttributesSequence", "PatientComments"):  # fmt: skip
        assert gone[name] == 6, name
    assert report["profile"].startswith("DICOM PS3.15")


def test_the_profile_of_the_package_did_the_replacing(tmp_path, look):
    write_series(tmp_path, phantom(), edit=fill)
    _, report = only(look(tmp_path).volumes).read()
    assert {"PatientName", "PatientID", "StudyDate", "InstitutionName"} <= (
        set(report["replaced"]) | set(report["removed"])
    )


def test_the_package_keeps_no_map_of_original_uids(tmp_path, look):
    from dicomanonymizer import simpledicomanonymizer

    write_series(tmp_path, phantom())
    only(look(tmp_path).volumes).read()
    assert simpledicomanonymizer.dictionary == {}


def test_an_attribute_the_profile_cannot_handle_stops_nothing():
    ds = slice_dataset(phantom()[0], 0)
    ds.add_new(0x00280010 + 0x9999, "OD", b"\0" * 16)
    ds.add_new(0x00400555, "SQ", [])
    tally = HeaderTally()
    tally.add(ds)
    assert tally.report()["files"] == 1


def letters(hu: np.ndarray) -> np.ndarray:
    """Strokes of an H and an I in the corner of every slice, as a scanner burns them."""
    text = hu.copy()
    text[:, 4:24, 6] = text[:, 4:24, 16] = text[:, 14, 6:17] = text[:, 4:24, 22] = 3071
    return text


def test_U3_text_burned_into_the_pixels_is_warned_about(tmp_path, look):
    hu = phantom((6, 64, 64))
    hu[:, :30, :30] = -1000
    write_series(tmp_path / "a", letters(hu))
    volume = only(look(tmp_path / "a").volumes)
    volume.read()
    assert "Letters seem to be drawn" in only(volume.warnings)


@pytest.mark.parametrize("metal", [False, True])
def test_bone_and_metal_are_no_letters(metal):
    hu = phantom((8, 64, 64))
    hu[:, 28:36, 28:36] = 1200  # a spine through all slices
    if metal:
        hu[3:5, 30:34, 10:50] = 3071
    assert not looks_burned_in(hu)
