"""The weights that ship: whole, known without a database row, and at work in both organs."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from synthesis import selectors
from synthesis.engine import shipped
from synthesis.engine.arrays import voxel_ml
from synthesis.engine.checkpoints import file_sha256, load_checkpoint, read_header
from synthesis.engine.errors import SynthesisError
from synthesis.engine.generators import Weights, get_generator
from synthesis.engine.networks import config_from_json
from synthesis.engine.phantoms import make_phantom
from synthesis.engine.pipeline import prepare, synthesize
from synthesis.engine.quality import make_gate
from synthesis.engine.records import Accepted, LesionSpec, Rejected, Scan
from synthesis.engine.segmenters import NetworkSegmenter
from synthesis.models import Checkpoint
from tests.conftest import ROOT

GENERATOR, SEGMENTOR = "freetumor-small", "freetumor-small-segmentor"
MOST_BYTES = 25_000_000
#: Phantom, organ, grid (z, y, x) and (x, y, z) in mm: small, but scanner-like.
HOSTS = {
    "liver": ("abdomen", (40, 120, 130), (2.4, 2.4, 5.0)),
    "lung": ("chest", (40, 120, 130), (2.4, 2.4, 5.0)),
}


def test_what_ships_is_whole_and_what_its_card_says():
    assert [(one.name, one.kind) for one in shipped.shipped()] == [
        (GENERATOR, "generator"),
        (SEGMENTOR, "segmentor"),
    ]
    for one in shipped.shipped():
        header = read_header(one.path)
        assert file_sha256(one.path) == one.sha256
        size = one.path.stat().st_size
        assert f"{one.parameters:,} | {size:,} | `{one.sha256}`" in one.card
        assert header.kind == one.kind
        assert header.config == config_from_json(one.architecture, one.config)
        assert header.parameters == one.parameters
    files = [path for path in shipped.WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    assert "*.safetensors binary" in (ROOT / ".gitattributes").read_text("utf-8").splitlines()


def test_the_card_states_patients_scores_and_attribution():
    card = shipped.shipped()[0].card
    for word in ("held out", "recall", "noise ratio", "textural", "not a clinical model",
                 "CRLM-CT-1006", "LIDC-IDRI-0001", "113_HM10395", "C3L-00189",
                 "doi 10.7937/QXK2-QG03", "doi 10.7937/K9/TCIA.2015.LO9QL9SX",
                 "doi 10.1007/s10278-013-9622-7", "train_segmentor", "train_generator",
                 "list_training_data"):  # fmt: skip
        assert word in card, word


@pytest.mark.django_db
def test_they_are_in_the_registry_of_a_fresh_install():
    assert not Checkpoint.objects.exists()
    assert [row.name for row in selectors.checkpoints()] == [GENERATOR, SEGMENTOR]
    assert [row.name for row in selectors.checkpoints("segmentor")] == [SEGMENTOR]
    for name, kind in ((GENERATOR, "generator"), (SEGMENTOR, "segmentor")):
        row = selectors.checkpoint(name, kind)
        assert selectors.ships(row)
        assert set(selectors.organs_of(row)) == {"liver", "lung"}
        assert selectors.load_registered(name, kind).sha256 == row.sha256
    weights = selectors.generator_weights(GENERATOR)
    assert get_generator("freetumor", weights).checkpoint.sha256 == weights.sha256
    assert not Checkpoint.objects.exists()
    with pytest.raises(SynthesisError, match="a segmentor is needed"):
        selectors.checkpoint(GENERATOR, "segmentor")


@pytest.mark.django_db
@pytest.mark.parametrize("name", [GENERATOR, SEGMENTOR])
def test_their_names_cannot_be_taken(name, data_dir):
    file = shipped.shipped_network(GENERATOR).path
    for replace in (False, True):
        with pytest.raises(CommandError, match="ship with the code; choose another --name"):
            call_command("import_checkpoint", str(file), name=name, replace=replace)
    assert not Checkpoint.objects.exists()


def test_a_damaged_file_is_not_used(tmp_path):
    one = shipped.shipped_network(GENERATOR)
    copy = tmp_path / one.path.name
    shutil.copy(one.path, copy)
    with copy.open("r+b") as stream:
        stream.seek(-8, 2)
        stream.write(b"\0" * 8)
    with pytest.raises(SynthesisError, match="has changed since it was registered"):
        get_generator("freetumor", Weights(copy, sha256=one.sha256))


def test_weights_missing_from_an_install_are_one_sentence(monkeypatch):
    monkeypatch.setattr(shipped, "shipped", lambda: ())
    with pytest.raises(ValueError, match="the one that ships is missing here"):
        get_generator("freetumor")


@pytest.fixture(scope="module")
def generator():
    """With no further argument, as `synthesize --generator freetumor` asks for it."""
    return get_generator("freetumor")


@pytest.fixture(scope="module")
def gate():
    one = shipped.shipped_network(SEGMENTOR)
    loaded = load_checkpoint(one.path, kind="segmentor", sha256=one.sha256, name=one.name)
    return make_gate("default", NetworkSegmenter(loaded))


@pytest.fixture(scope="module", params=HOSTS)
def made(request, generator, gate):
    """Verdicts of one learned lesion in a phantom's organ, drawn twice from one seed."""
    organ = request.param
    kind, shape, spacing = HOSTS[organ]
    phantom = make_phantom(np.random.default_rng(11), kind, shape=shape, spacing=spacing, lesions=0)
    scan = Scan(phantom.hu, spacing, organ, phantom.organs[organ], None)
    host = prepare(scan)
    wish = LesionSpec((14.0, 22.0), 0.0)
    return scan, [synthesize(host, wish, generator, seed=3, gate=gate) for _ in range(2)]


def test_a_learned_lesion_gets_a_typed_verdict_with_every_score(made, generator):
    scan, (outcome, _) = made
    assert isinstance(outcome.verdict, Accepted), outcome.verdict
    assert all(isinstance(one, Rejected) for one in outcome.rejected)
    for judged in (outcome.verdict, *outcome.rejected):
        assert {"recall_organ", "contrast_hu", "diameter_mm"} <= set(judged.scores)
        json.dumps(judged.scores)
    lesion = outcome.verdict.lesion
    assert lesion.parameters["mode"] == "hybrid"
    assert lesion.parameters["checkpoint"] == GENERATOR
    assert lesion.parameters["checkpoint_sha256"] == generator.checkpoint.sha256
    sign = -1 if scan.organ == "liver" else 1
    change = lesion.residual[lesion.mask].astype(float)
    assert 10 < sign * change.mean() < 1000
    assert lesion.mask.sum() * voxel_ml(scan.spacing) > 0.5


def test_the_same_seed_gives_the_same_bytes(made):
    _, (first, again) = made
    a, b = first.verdict.lesion, again.verdict.lesion
    assert a.residual.tobytes() == b.residual.tobytes()
    assert a.mask.tobytes() == b.mask.tobytes()
    assert first.verdict.scores == again.verdict.scores


def test_the_network_adds_to_the_procedural_lesion(made, generator):
    """Without its correction a hybrid lesion would be the textural one."""
    scan, (outcome, _) = made
    plain = synthesize(
        prepare(scan), LesionSpec((14.0, 22.0), 0.0), get_generator("textural"), seed=3
    )
    ours, theirs = outcome.verdict.lesion, plain.verdict.lesion
    assert ours.offset != theirs.offset or not np.array_equal(ours.residual, theirs.residual)


def test_an_organ_they_were_not_trained_on_is_refused_by_name(generator):
    shape = (24, 64, 64)
    organ = np.zeros(shape, bool)
    organ[4:20, 8:56, 8:56] = True
    hu = np.where(organ, 100, -100).astype(np.int16)
    with pytest.raises(SynthesisError, match="not made for the organ 'kidney'; it knows liver, lu"):
        synthesize(
            prepare(Scan(hu, (2.0, 2.0, 3.0), "kidney", organ, None)),
            LesionSpec((10.0, 14.0), 0.0), generator, seed=1,
        )  # fmt: skip
