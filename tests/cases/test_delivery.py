"""`synthesize`: a CT in, files out, exact outside the lesion and synthetic on their face."""

from __future__ import annotations

import hashlib
import io
import json
import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
from django.core.management import CommandError, call_command

from tests.library import makers
from tests.synthesis.hosts import ball_host

AFFINE = np.diag([-1.5, -1.5, 3.0, 1.0])


def synthesize(*arguments):
    out = io.StringIO()
    # without a database in these tests there is no library to fit to
    given = () if "--priors" in arguments else ("--priors", "table")
    call_command("synthesize", *map(str, (*arguments, *given)), stdout=out)
    return out.getvalue()


def refused(*arguments):
    with pytest.raises(CommandError) as caught:
        synthesize(*arguments)
    assert caught.value.returncode == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def voxels(path):
    return np.asarray(nib.load(path).dataobj).T


@pytest.fixture(scope="module")
def ball(tmp_path_factory):
    """A liver-like ball of 64 mm as NIfTI and as DICOM, with its mask."""
    folder = tmp_path_factory.mktemp("ball")
    scan = ball_host((1.5, 1.5, 3.0))
    makers.write_nifti(folder / "ct.nii.gz", scan.hu, affine=AFFINE)
    makers.write_nifti(folder / "liver.nii.gz", scan.organ_mask.astype(np.uint8), affine=AFFINE)
    makers.write_series(
        folder / "series", scan.hu, spacing=(1.5, 1.5, 3.0), origin=(0.0, 0.0, 0.0), edit=_private
    )
    return folder


def _private(ds, index):
    """What a scanner would write and nobody may see again."""
    ds.InstitutionName = "St Elsewhere"
    ds.StationName = "CT-IN-ROOM-9"
    ds.OperatorsName = "Nurse^Ratched"
    ds.StudyDescription = "Janes abdomen"
    ds.KVP = "120"
    ds.add_new(0x00091001, "LO", "private Jane")
    del index


@pytest.fixture(scope="module")
def made(ball, tmp_path_factory):
    """Two variants of two lesions each in the DICOM series."""
    out = tmp_path_factory.mktemp("out") / "made"
    said = synthesize(*asked(ball / "series", ball, out), "--n", 2, "--count", 2)
    return out, said


def asked(ct, ball, out, *, diameter="8-12", seed=7):
    mask = ball / "liver.nii.gz"
    return (
        *("--ct", ct, "--organ", "liver", "--organ-mask", mask),
        *("--diameter-mm", diameter, "--seed", seed, "--out", out),
    )


def test_each_variant_has_all_its_files_and_the_manifest_says_k_of_n(made, ball):
    out, said = made
    names = {path.name for path in out.iterdir()}
    suffixes = ("ct.nii.gz", "ct.json", "mask.nii.gz", "seg.dcm", "dicom", "preview.png")
    assert names == {"manifest.json"} | {f"0{k}_{s}" for k in (1, 2) for s in suffixes}
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["made"], manifest["asked"], manifest["seed"]) == (2, 2, 7)
    assert manifest["generator"]["name"] == "textural"
    assert manifest["checkpoint_sha256"] is None
    assert len(manifest["input"]["content_sha256"]) == 64
    mask = (voxels(ball / "liver.nii.gz") == 1).tobytes()
    assert manifest["input"]["organ_mask_sha256"] == hashlib.sha256(mask).hexdigest()
    assert manifest["input"]["tumor_mask_sha256"] is None
    assert manifest["parameters"]["keep_source_uids"] is False
    assert {"python", "numpy", "scipy", "pydicom", "highdicom"} <= set(manifest["packages"])
    for variant in manifest["variants"]:
        assert set(variant["files"]) == {n for n in names if n.startswith(f"0{variant['variant']}")}
        for lesion in variant["lesions"]:
            assert lesion["verdict"]["accepted"]
            assert 8 <= lesion["diameter_mm"] <= 12
            assert "noise_hu" in lesion["verdict"]["scores"]
            assert lesion["parameters"]["generator"] == "textural"
    rejected = sum(len(x["rejected"]) for v in manifest["variants"] for x in v["lesions"])
    assert manifest["rejected"] == rejected
    assert f"2 of 2 variants made; the checks rejected {rejected} attempts" in said


def test_every_voxel_outside_the_soft_edge_is_bit_identical_in_three_readers(ball, made):
    import SimpleITK as sitk

    out, _ = made
    before = voxels(ball / "ct.nii.gz")
    for number in ("01", "02"):
        after = voxels(out / f"{number}_ct.nii.gz")
        mask = voxels(out / f"{number}_mask.nii.gz") == 1
        changed = after != before
        sidecar = json.loads((out / f"{number}_ct.json").read_text())
        assert changed[mask].mean() > 0.9
        assert mask.sum() < changed.sum() == sidecar["ChangedVoxels"]
        itk = sitk.ReadImage(str(out / f"{number}_ct.nii.gz"))
        assert np.array_equal(sitk.GetArrayFromImage(itk), after)
        slices = [pydicom.dcmread(path) for path in sorted((out / f"{number}_dicom").iterdir())]
        series = np.stack([ds.pixel_array * int(ds.RescaleSlope) for ds in slices])
        assert np.array_equal(series + int(slices[0].RescaleIntercept), after)
        from scipy import ndimage

        far = ndimage.distance_transform_edt(~mask, sampling=(3.0, 1.5, 1.5)) > 25
        assert far.sum() > far.size / 3
        assert not changed[far].any()


def test_lesions_of_one_variant_keep_apart():
    """In a ball with little room, where a careless second lesion would hit the first."""
    from scipy import ndimage

    from readerstudy.cases.delivery.hosts import Host
    from readerstudy.cases.delivery.variants import Judge, Wish, known_generator, make_variants
    from readerstudy.library.imaging.geometry import Geometry, VolumeData
    from synthesis.engine.quality import judge

    scan = ball_host((1.5, 1.5, 3.0))
    host = Host(VolumeData(scan.hu, Geometry(scan.hu.shape, scan.spacing, (0.0, 0.0, 0.0))), "x")
    wish = Wish("liver", "textural", (12.0, 16.0), 2, 6, 3, 0.0)
    textural = known_generator("textural")
    made = list(make_variants(host, scan.organ_mask, None, wish, textural, Judge(judge)))
    assert sum(variant.hu is not None for variant in made) >= 4
    for variant in made:
        if variant.hu is None:
            continue
        parts = []
        for lesion in (item.lesion for item in variant.lesions):
            part = np.zeros(scan.hu.shape, bool)
            part[lesion.box.slices] = lesion.feather > 0
            parts.append(part)
        gap = ndimage.distance_transform_edt(~parts[0], sampling=(3.0, 1.5, 1.5))
        assert gap[parts[1]].min() > 0
        mask = np.zeros(scan.hu.shape, bool)
        cut = variant.lesions[1].lesion.box.slices
        mask[cut] = variant.lesions[1].lesion.mask
        assert gap[mask].min() >= 4.0


def test_nothing_identifying_is_copied(ball, made):
    words = (
        b"Jane",
        b"Doe",
        b"MRN-4711",
        b"19500101",
        b"20200102",
        b"Elsewhere",
        b"ROOM-9",
        b"Ratched",
    )
    original = b"".join(path.read_bytes() for path in (ball / "series").iterdir())
    assert all(word in original for word in words)
    study = pydicom.dcmread(next((ball / "series").iterdir()))
    own = {study.StudyInstanceUID, study.SeriesInstanceUID, study.FrameOfReferenceUID}
    for path in (p for p in made[0].rglob("*") if p.is_file()):
        if path.suffix in (".dcm", ".json"):
            data = path.read_bytes()
            assert not [word for word in words if word in data], path.name
            assert not [uid for uid in own if f"{uid}\0".encode() in data], path.name


def test_native_uids_are_named_only_when_they_are_asked_for(ball, made, tmp_path):
    native = {
        float(ds.ImagePositionPatient[2]): ds.SOPInstanceUID
        for ds in map(pydicom.dcmread, (ball / "series").iterdir())
    }
    for path in (p for p in made[0].rglob("*.dcm")):
        assert not [uid for uid in native.values() if uid.encode() in path.read_bytes()]
    synthesize(*asked(ball / "series", ball, tmp_path / "kept"), "--keep-source-uids")
    for path in (tmp_path / "kept" / "01_dicom").iterdir():
        ds = pydicom.dcmread(path)
        source = ds.SourceImageSequence[0].ReferencedSOPInstanceUID
        assert source == native[float(ds.ImagePositionPatient[2])]
        assert ds.KVP == 120


def test_our_own_import_reads_series_and_seg_back_on_the_same_grid(made, ball, db, tmp_path):
    from readerstudy.library import selectors
    from readerstudy.library.models import Volume

    out, _ = made
    shutil.copytree(out / "01_dicom", tmp_path / "in")
    shutil.copy(out / "01_seg.dcm", tmp_path / "in" / "seg.dcm")
    said = io.StringIO()
    call_command(
        "import_ct", str(tmp_path / "in"), "--organ", "liver", "--tumor-mask", "seg.dcm",
        stdout=said,
    )  # fmt: skip
    volume = Volume.objects.get()
    assert np.array_equal(selectors.load_ct(volume), voxels(out / "01_ct.nii.gz"))
    mask = selectors.load_mask(volume.masks.get())
    assert np.array_equal(mask, voxels(out / "01_mask.nii.gz") == 1)
    assert any("synthetic" in warning for warning in volume.warnings)


def test_T5_the_rendition_of_such_a_series_loses_every_marking(made, db, tmp_path, data_dir):
    from readerstudy.cases.errors import CasesError
    from readerstudy.cases.rendition import Rule, build_renditions, rule_document
    from readerstudy.cases.services import make_candidates
    from readerstudy.library.models import Mask, Volume

    out, _ = made
    call_command(
        "import_ct", str(out / "01_dicom"), "--organ", "liver",
        "--tumor-mask", str(out / "01_seg.dcm"), stdout=io.StringIO(),
    )  # fmt: skip
    with pytest.raises(CasesError, match="so no lesion in it counts as real"):
        make_candidates(Volume.objects.get())
    assert Mask.objects.get().synthetic
    # Someone takes the marks away: the bytes that readers get still tell nothing.
    Volume.objects.update(synthetic="")
    Mask.objects.update(synthetic=False)
    found = make_candidates(Volume.objects.get())
    assert len(found) == 2
    rows = build_renditions(found, rule_document(Rule()), 3)
    ds = pydicom.dcmread(out / "01_dicom" / "IM0001.dcm")
    marks = ["SYNTH", "synth", "DERIVED", "113042", "121322", "109100", "LESION", "2.25."]
    marks += [ds.PatientID, ds.SoftwareVersions, ds.SOPInstanceUID, "Synthesizing"]
    for row in rows.values():
        folder = data_dir / "renditions" / str(row.pk)
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert len(files) == 2
        served = b"".join(path.read_bytes() for path in files)
        served += json.dumps(
            [row.organ, row.spacing, row.slice_spacing, row.marker, row.start_slice, row.rule]
        ).encode()
        assert not [mark for mark in marks if str(mark).encode() in served]


def test_same_seed_same_bytes_and_another_seed_other_voxels(ball, tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        synthesize(*asked(ball / "series", ball, tmp_path / name, seed=seed))
    files = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()]
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    a, c = (voxels(tmp_path / name / "01_ct.nii.gz") for name in "ac")
    assert not np.array_equal(a, c)


def test_a_nifti_makes_no_series_and_keeps_its_affine(ball, tmp_path):
    synthesize(*asked(ball / "ct.nii.gz", ball, tmp_path / "out"))
    assert not (tmp_path / "out" / "01_dicom").exists()
    image = nib.load(tmp_path / "out" / "01_ct.nii.gz")
    assert np.array_equal(image.affine, nib.load(ball / "ct.nii.gz").affine)
    assert bytes(image.header["descrip"].tobytes()).startswith(b"SYNTHETIC liver lesion, seed 7")
    assert json.loads((tmp_path / "out" / "01_ct.json").read_text())["SyntheticData"] == "YES"


def test_a_zip_of_the_series_gives_the_same_voxels(ball, tmp_path):
    files = {path.name: path for path in (ball / "series").iterdir()}
    archive = makers.zip_of(tmp_path / "series.zip", files)
    synthesize(*asked(archive, ball, tmp_path / "a"))
    synthesize(*asked(ball / "ct.nii.gz", ball, tmp_path / "b"))
    assert (tmp_path / "a" / "01_dicom").is_dir()
    a, b = (voxels(tmp_path / name / "01_ct.nii.gz") for name in "ab")
    assert np.array_equal(a, b)


def _damaged(ball, tmp_path, what):
    hu = voxels(ball / "ct.nii.gz").copy()
    path = tmp_path / "bad.nii.gz"
    if what == "nan":
        data = hu.astype(np.float32)
        data[2, 3, 4] = np.nan
        return makers.write_nifti(path, data, affine=AFFINE)
    if what == "flat":
        return makers.write_nifti(path, hu[0].T, affine=AFFINE)
    if what == "scaled":
        data = ((hu + 200) / 500.0).clip(0, 1).astype(np.float32)
        return makers.write_nifti(path, data, affine=AFFINE)
    path.write_bytes((ball / "ct.nii.gz").read_bytes()[:20_000])
    return path


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("nan", "replace by HU and save again"),
        ("flat", "2 dimensions"),
        ("scaled", "they are scaled, not HU"),
        ("cut", "cut off"),
    ],
)
def test_a_ct_that_cannot_be_used_is_named_with_the_reason(ball, tmp_path, what, sentence):
    bad = _damaged(ball, tmp_path, what)
    said = refused(*asked(bad, ball, tmp_path / "out"))
    assert said.startswith("bad.nii.gz: ")
    assert sentence in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["empty", "shifted", "gone", "ct"])
def test_an_organ_mask_that_cannot_be_used_is_named_with_the_reason(ball, tmp_path, kind):
    mask = voxels(ball / "liver.nii.gz")
    path = tmp_path / "mask.nii.gz"
    affine = AFFINE.copy()
    if kind == "shifted":
        affine[:3, 3] = 30.0
    if kind == "ct":
        shutil.copy(ball / "ct.nii.gz", path)
    elif kind != "gone":
        makers.write_nifti(path, mask * (kind != "empty"), affine=affine)
    said = refused(
        *("--ct", ball / "ct.nii.gz", "--organ", "liver", "--organ-mask", path),
        *("--seed", 1, "--out", tmp_path / "out"),
    )
    expected = {
        "empty": "marks nothing",
        "shifted": "give a mask drawn on this CT, or resample it",
        "gone": "There is no mask file",
        "ct": "it is no mask",
    }
    assert expected[kind] in said
    assert "mask.nii.gz" in said
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "data") == (
        [] if kind == "gone" else ["mask.nii.gz"]
    )


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--organ", "livre"], "did you mean liver?"),
        (["--organ", "toe"], "choose one of: adrenal, bone"),
        (["--diameter-mm", "30-10"], "reversed"),
        (["--diameter-mm", "big"], "LOW-HIGH"),
        (["--diameter-mm", "1-2"], "between 3 and 120 mm"),
        (["--diameter-mm", "100-110"], "No lesion of 100 to 110 mm fits into the liver"),
        (["--count", "0"], "1 to 3, not 0"),
        (["--n", "0"], "1 to 99, not 0"),
        (["--attempts", "0"], "1 to 100, not 0"),
        (["--seed", "-1"], "from 0 to 2^62"),
        (["--generator", "magic"], "no generator 'magic'"),
        (["--mass-effect", "2"], "from 0 (none) to 1"),
        (["--ct", "/nowhere/ct.nii.gz"], "There is no /nowhere/ct.nii.gz"),
    ],
)
def test_a_wrong_wish_is_one_sentence_and_leaves_nothing(ball, tmp_path, more, sentence):
    said = refused(*asked(ball / "ct.nii.gz", ball, tmp_path / "out"), *more)
    assert sentence in said
    assert not [path for path in tmp_path.iterdir() if path.name != "data"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A generator and a segmentor of fresh weights, as files."""
    from synthesis.engine.checkpoints import save_checkpoint
    from synthesis.engine.networks import build_network
    from tests.synthesis.weights import SMALL_CONDITIONAL, SMALL_SEGMENTOR

    folder = tmp_path_factory.mktemp("weights")
    for kind, config in (("generator", SMALL_CONDITIONAL), ("segmentor", SMALL_SEGMENTOR)):
        path = folder / f"{kind}.safetensors"
        save_checkpoint(path, kind, config, build_network(config, 0).state_dict())
    return folder


def test_a_learned_generator_is_named_with_the_hash_of_its_weights(ball, weights, tmp_path):
    file = weights / "generator.safetensors"
    more = ("--generator", "freetumor", "--checkpoint", file)
    synthesize(*asked(ball / "series", ball, tmp_path / "out"), *more)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert manifest["checkpoint_sha256"] == digest
    assert "torch" in manifest["packages"]
    ds = pydicom.dcmread(tmp_path / "out" / "01_dicom" / "IM0001.dcm")
    assert f"weights sha256 {digest}" in ds.DerivationDescription


def test_a_segmentor_that_finds_nothing_rejects_all_and_nothing_is_written(ball, weights, tmp_path):
    more = ("--segmentor", weights / "segmentor.safetensors", "--policy", "paper")
    said = refused(*asked(ball / "ct.nii.gz", ball, tmp_path / "out"), *more, "--attempts", 3)
    assert "None of 3 lesions drawn in the liver passed the checks" in said
    assert not (tmp_path / "out").exists()


def _pickle_with_code(folder):
    """What must never be opened by guessing: loading it would write a file."""
    import pickle

    class Bomb:
        def __reduce__(self):
            return (open, (str(folder / "ran"), "w"))

    path = folder / "evil.pt"
    path.write_bytes(pickle.dumps(Bomb()))
    return path


def test_a_name_of_weights_without_a_database_is_one_sentence(ball, tmp_path, monkeypatch):
    from django.db.utils import OperationalError

    from synthesis.models import Checkpoint

    class Gone:
        def filter(self, **_):
            raise OperationalError("unable to open database file")

    monkeypatch.setattr(Checkpoint, "objects", Gone())
    more = ("--generator", "freetumor", "--checkpoint", "mine")
    said = refused(*asked(ball / "ct.nii.gz", ball, tmp_path / "out"), *more)
    assert "there is no registry that can be read; give a file that exists" in said


def test_weights_that_do_not_fit_are_one_sentence(ball, weights, tmp_path, db):
    out = tmp_path / "out"
    generator, segmentor = (weights / f"{k}.safetensors" for k in ("generator", "segmentor"))
    wrong = (
        (("--generator", "freetumor", "--checkpoint", segmentor), "holds a segmentor, not a"),
        (("--generator", "freetumor", "--checkpoint", "nobody"), "no generator 'nobody'"),
        (("--checkpoint", generator), "has no weights"),
        (("--segmentor", generator), "holds a generator, not a"),
        (("--policy", "paper"), "needs a segmentor"),
        (("--generator", "freetumor", "--checkpoint", ball / "ct.nii.gz"), "ct.nii.gz is no"),
        (("--generator", "freetumor", "--checkpoint", out / "x.safetensors"), "does not exist"),
        (("--segmentor", _pickle_with_code(tmp_path)), "convert the authors' weights with"),
    )
    for more, sentence in wrong:
        assert sentence in refused(*asked(ball / "ct.nii.gz", ball, out), *more)
        assert not out.exists()
    assert not (tmp_path / "ran").exists()


def test_a_folder_in_use_is_never_written_to(ball, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    assert "is not empty" in refused(*asked(ball / "ct.nii.gz", ball, out))
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    assert "is a file" in refused(*asked(ball / "ct.nii.gz", ball, out / "mine.txt"))


def test_an_empty_folder_is_taken(ball, tmp_path):
    (tmp_path / "out").mkdir()
    synthesize(*asked(ball / "ct.nii.gz", ball, tmp_path / "out"))
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_a_stop_in_the_middle_leaves_nothing(ball, tmp_path, monkeypatch):
    from readerstudy.cases.delivery import files

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_series", stop)
    with pytest.raises(CommandError, match="Stopped"):
        synthesize(*asked(ball / "series", ball, tmp_path / "out"))
    assert not [path for path in tmp_path.iterdir() if path.name != "data"]


def test_a_full_disk_is_one_sentence(ball, tmp_path, monkeypatch):
    from readerstudy.cases.delivery import files

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_nifti", full)
    said = refused(*asked(ball / "ct.nii.gz", ball, tmp_path / "out"))
    assert "No space left on device" in said
    assert not [path for path in tmp_path.iterdir() if path.name != "data"]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "organ", "tumor"),
    [
        ("liver_crlm-ct-1006", "liver", "tumour_draft.nii.gz"),
        ("lung_lidc-idri-0001", "lung", "tumour.nii.gz"),
    ],
)
def test_real_ct_keeps_every_voxel_outside_the_lesion(shared_ct, tmp_path, folder, organ, tumor):
    source = shared_ct / folder
    synthesize(
        *("--ct", source / "ct.nii.gz", "--organ", organ, "--seed", 7, "--out", tmp_path / "out"),
        *("--organ-mask", source / f"{organ}.nii.gz", "--tumor-mask", source / tumor),
        *("--mass-effect", 0, "--diameter-mm", "10-30"),
    )
    before, after = voxels(source / "ct.nii.gz"), voxels(tmp_path / "out" / "01_ct.nii.gz")
    mask = voxels(tmp_path / "out" / "01_mask.nii.gz") == 1
    changed = after != before
    from scipy import ndimage

    zooms = nib.load(source / "ct.nii.gz").header.get_zooms()[::-1]
    near = ndimage.distance_transform_edt(~mask, sampling=zooms) <= 8
    assert changed[mask].mean() > 0.9
    assert not changed[~near].any()
    assert not (mask & (voxels(source / tumor) > 0)).any()
    organ_mask = voxels(source / f"{organ}.nii.gz") > 0
    assert organ_mask[mask].mean() > 0.99
    contrast = after[mask].mean() - before[mask].mean()
    assert contrast < -10 if organ == "liver" else contrast > 250


@pytest.mark.shared
def test_a_real_zip_of_dicom_is_read_with_its_label_map(shared_ct, tmp_path):
    source = shared_ct / "dicom_totalsegmentator-example"
    synthesize(
        *("--ct", source / "example_ct_dicom.zip", "--organ", "liver", "--seed", 7),
        *("--organ-mask", f"{source / 'organs_multilabel.nii.gz'}#5"),
        *("--diameter-mm", "8-14", "--out", tmp_path / "out"),
    )
    assert len(list((tmp_path / "out" / "01_dicom").iterdir())) == 20
