"""The pages of the room, as a coordinator's browser asks for them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import uuid

import numpy as np
import pytest
from django.urls import reverse

from readerstudy.cases import display
from readerstudy.cases.models import Candidate, SynthesisRun
from readerstudy.cases.patches import load_patch
from readerstudy.cases.rendition import native_volume
from readerstudy.cases.services import decide, make_candidates
from readerstudy.jobs.models import Job
from readerstudy.library import selectors as library
from tests.conftest import ROOT


@pytest.fixture
def web(client_for, coordinator):
    return client_for(coordinator)


def wish(host, **change):
    return {
        "volumes": [str(host.pk)],
        "organs": ["liver"],
        "per_volume": 1,
        "diameter_low": "8",
        "diameter_high": "20",
        "mass_effect": "0.5",
        "seed": "7",
        "generator": "textural",
        **change,
    }


def test_an_empty_room_says_where_to_begin(web, db):
    page = web.get(reverse("cases:index")).content.decode()
    assert "No cases yet" in page
    assert reverse("library:index") in page
    assert reverse("cases:new_run") not in page


def test_the_first_page_counts_by_organ_kind_and_state(web, made_run, sick):
    make_candidates(sick)
    page = web.get(reverse("cases:index")).content.decode()
    assert "Curate 4 pending" in page
    assert "3 of 3" in page
    assert "?state=pending&kind=real&organ=liver" in page


def test_lists_take_as_many_queries_for_many_rows_as_for_few(
    web, made_run, django_assert_max_num_queries
):
    run = reverse("cases:run", args=[made_run.pk])
    for url in (reverse("cases:index"), reverse("cases:candidates"), run):
        with django_assert_max_num_queries(22):
            assert web.get(url).status_code == 200


# -- new run -----------------------------------------------------------------------------------


def test_a_run_started_in_the_form_leads_to_its_page(web, host, run_jobs):
    answer = web.post(reverse("cases:new_run"), wish(host))
    run = SynthesisRun.objects.get()
    assert answer.url == reverse("cases:run", args=[run.pk])
    page = web.get(answer.url).content.decode()
    assert "0 of 1" in page
    assert "The first lesion appears here" in page
    run_jobs()
    page = web.get(answer.url).content.decode()
    assert "1 of 1" in page
    assert reverse("cases:queue") + f"?run={run.pk}" in page
    assert "/after.png" in page


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"volumes": []}, "No volume is chosen; tick at least one."),
        ({"volumes": [str(uuid.uuid4())]}, "One of the chosen volumes is gone; reload the page."),
        ({"organs": []}, "No organ is chosen; tick at least one."),
        ({"diameter_low": "30", "diameter_high": "8"}, "reversed: 30 mm is more than 8 mm"),
        ({"diameter_low": "0"}, "greater than or equal to 3"),
        ({"per_volume": "0"}, "Ask for at least one lesion per volume."),
        ({"per_volume": "51"}, "at most 50 lesions"),
        ({"seed": "-4"}, "greater than or equal to 0"),
        ({"organs": ["spleen"]}, "spleen is not one of the available choices"),
    ],
)
def test_a_bad_wish_in_the_form_is_one_sentence(web, host, change, sentence):
    answer = web.post(reverse("cases:new_run"), wish(host, **change))
    assert answer.status_code == 400
    assert sentence in answer.content.decode()
    assert not SynthesisRun.objects.exists()


def test_without_organ_masks_the_form_points_to_the_library(web, db):
    page = web.get(reverse("cases:new_run")).content.decode()
    assert "No volume has an organ mask" in page


def test_the_gallery_alone_is_served_to_htmx_and_stops_polling_at_the_end(web, made_run):
    url = reverse("cases:run", args=[made_run.pk])
    part = web.get(url, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith("<section")
    assert "hx-trigger" not in part
    Job.objects.filter(pk=made_run.job_id).update(state="running")
    assert 'hx-trigger="every 2s"' in web.get(url, headers={"HX-Request": "true"}).content.decode()


# -- curation ----------------------------------------------------------------------------------


def test_the_queue_walks_through_all_pending_candidates(web, made_run):
    seen = []
    url = web.get(reverse("cases:queue")).url
    for _ in range(3):
        candidate = url.split("/")[3]
        seen.append(candidate)
        answer = web.post(
            reverse("cases:decide", args=[candidate]),
            {"decision": "accept", "run": str(made_run.pk)},
        )
        assert answer.status_code == 302
        url = answer.url
    assert len(set(seen)) == 3
    assert url.startswith(reverse("cases:candidates"))
    assert made_run.candidates.filter(state="accepted").count() == 3


def test_after_a_decision_the_next_page_offers_to_undo_it(web, made_run):
    first = made_run.candidates.filter(state="pending").first()
    answer = web.post(
        reverse("cases:decide", args=[first.pk]), {"decision": "reject", "reason": "Hard to see"}
    )
    page = web.get(answer.url).content.decode()
    assert "rejected (Hard to see)" in page
    assert reverse("cases:undo", args=[first.pk]) in page
    back = web.post(reverse("cases:undo", args=[first.pk]))
    assert back.url == reverse("cases:candidate", args=[first.pk])
    assert Candidate.objects.get(pk=first.pk).state == "pending"


def test_an_own_reason_wins_over_the_list(web, made_run):
    first = made_run.candidates.filter(state="pending").first()
    web.post(
        reverse("cases:decide", args=[first.pk]),
        {"decision": "reject", "reason": "", "other": "Lies in the gallbladder <b>bed</b>"},
    )
    page = web.get(reverse("cases:candidate", args=[first.pk])).content.decode()
    assert "Lies in the gallbladder &lt;b&gt;bed&lt;/b&gt;" in page


def test_a_decision_twice_is_a_conflict_in_a_sentence(web, made_run):
    first = made_run.candidates.filter(state="pending").first()
    url = reverse("cases:decide", args=[first.pk])
    web.post(url, {"decision": "accept"})
    answer = web.post(url, {"decision": "accept"})
    assert answer.status_code == 409
    assert "accepted already; undo that" in answer.content.decode()


def test_ticked_candidates_are_decided_together(web, made_run):
    ids = [str(row.pk) for row in made_run.candidates.filter(state="pending")]
    sent = {"candidate": [*ids[:2], "nonsense"], "decision": "reject", "reason": "Hard to see"}
    answer = web.post(reverse("cases:bulk"), sent, follow=True)
    assert "2 candidates rejected." in answer.content.decode()
    answer = web.post(reverse("cases:bulk"), {"decision": "accept"})
    assert answer.status_code == 400
    assert "No candidates are chosen" in answer.content.decode()


def test_real_and_synthetic_candidates_share_one_page(web, made_run, sick):
    real = make_candidates(sick)[0]
    synthetic = made_run.candidates.filter(state="pending").first()
    for row in (real, synthetic):
        page = web.get(reverse("cases:candidate", args=[row.pk])).content.decode()
        assert "accept-form" in page
        assert f"<dd>{row.get_kind_display()}</dd>" in page
        assert "Looks artificial" in page
        assert row.volume.name in page


def test_with_the_arm_hidden_both_kinds_give_the_same_page_and_no_change(web, made_run, sick):
    make_candidates(sick)
    url = web.get(reverse("cases:queue") + "?arm=hidden").url
    seen = []
    for _ in range(4):
        assert "arm=hidden" in url
        page = web.get(url).content.decode()
        row = Candidate.objects.get(pk=url.split("/")[3])
        seen.append(str(row.pk))
        for word in ("Real", "Synthetic", "real", "synthetic", row.volume.name, "Run of", "Seed"):
            assert word not in page.split("<main")[1], word
        header, before, residual, _ = read_block(
            web.get(reverse("cases:block", args=[row.pk]) + "?arm=hidden").content
        )
        assert not header["changed"]
        assert not residual.any()
        after = native_volume(row)
        assert np.isin(before, after).all()
        sent = {"decision": "accept", "arm": "hidden"}
        url = web.post(reverse("cases:decide", args=[row.pk]), sent).url
    assert seen == sorted(seen)
    assert {row.kind for row in Candidate.objects.filter(pk__in=seen)} == {"real", "synthetic"}


def read_block(data):
    size = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + size])
    shape = header["shape"]
    (x0, x1), (y0, y1), (z0, z1) = header["box"]
    inner = (z1 - z0, y1 - y0, x1 - x0)
    at = 4 + size
    before = np.frombuffer(data, "<i2", int(np.prod(shape)), at).reshape(shape)
    at += before.nbytes
    residual = np.frombuffer(data, "<i2", int(np.prod(inner)), at).reshape(inner)
    at += residual.nbytes
    mask = np.frombuffer(data, "|u1", int(np.prod(inner)), at).reshape(inner)
    assert at + mask.nbytes == len(data)
    return header, before, residual, mask


def test_the_block_holds_the_voxels_before_and_the_change(web, made_run, host):
    row = made_run.candidates.filter(state="pending").first()
    answer = web.get(reverse("cases:block", args=[row.pk]))
    header, before, residual, mask = read_block(answer.content)
    patch, ct = load_patch(row), library.load_ct(host)
    assert header["changed"]
    assert header["spacing"] == [1.5, 1.5, 3.0]
    assert mask.sum() == patch.mask.sum()
    assert residual.sum() == patch.residual.sum()
    # The host is stored on LPS axes, so the block is a plain cut out of it.
    pads = [int(np.ceil(m / s)) for m, s in zip((50, 70, 70), (3.0, 1.5, 1.5), strict=True)]
    starts = [max(0, o - p) for o, p in zip(patch.offset, pads, strict=True)]
    cut = tuple(slice(s, s + n) for s, n in zip(starts, before.shape, strict=True))
    assert np.array_equal(before, ct[cut])
    (x0, x1), (y0, y1), (z0, z1) = header["box"]
    after = before.astype(int)
    after[z0:z1, y0:y1, x0:x1] += residual
    assert np.array_equal(after, native_volume(row)[cut])


def test_previews_differ_by_the_lesion_alone(web, made_run, sick):
    from PIL import Image

    def picture(row, side):
        answer = web.get(reverse("cases:preview", args=[row.pk, side]))
        assert answer["Content-Type"] == "image/png"
        return np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)

    row = made_run.candidates.filter(state="pending").first()
    before, after = picture(row, "before"), picture(row, "after")
    changed = np.abs(after - before) > 3
    assert 0.001 < changed.mean() < 0.2
    assert changed[80:120, 80:120].mean() > changed.mean()
    real = make_candidates(sick)[0]
    assert np.array_equal(picture(real, "before"), picture(real, "after"))
    assert web.get(reverse("cases:preview", args=[row.pk, "sideways"])).status_code == 404


def test_unknown_ids_and_filters_do_no_harm(web, made_run):
    unknown = uuid.uuid4()
    for name in ("candidate", "block"):
        assert web.get(reverse(f"cases:{name}", args=[unknown])).status_code == 404
    assert web.get(reverse("cases:run", args=[unknown])).status_code == 404
    query = "?run=x%27--&kind=alien&state=none&organ=" + "o" * 500 + "&page=-3"
    assert web.get(reverse("cases:candidates") + query).status_code == 200
    row = made_run.candidates.first()
    assert web.get(reverse("cases:candidate", args=[row.pk]) + "?last=zzz").status_code == 200


def test_a_missing_patch_file_is_a_sentence(web, made_run, data_dir):
    row = made_run.candidates.first()
    (data_dir / "candidates" / f"{row.pk}.npz").unlink()
    answer = web.get(reverse("cases:block", args=[row.pk]))
    assert answer.status_code == 400
    assert "is missing in the data directory; restore a backup." in answer.content.decode()


@pytest.mark.parametrize("name", ["index", "new_run", "candidates", "queue"])
def test_readers_and_researchers_never_come_here(client_for, reader, researcher, name):
    for person in (reader, researcher):
        assert client_for(person).get(reverse(f"cases:{name}")).status_code == 403


def test_every_organ_has_windows():
    for organ in ("liver", "lung", "kidney", "pancreas", "spleen", "anything"):
        presets = display.windows(organ)
        assert len(presets) == 4
        assert all(preset["width"] > 0 for preset in presets)


def test_O12_the_pages_need_no_scientific_stack():
    code = (
        "import os, sys, django\n"
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'readerstudy.settings')\n"
        "django.setup()\n"
        "import readerstudy.cases.views, readerstudy.cases.urls\n"
        "from readerstudy.cases.engines import Choice, check\n"
        "from synthesis.engine.networks import ConditionalUNetConfig, config_to_json\n"
        "from synthesis.models import Checkpoint\n"
        "from synthesis.selectors import organs_of\n"
        "config = ConditionalUNetConfig()\n"
        "row = Checkpoint(architecture=config.architecture, config=config_to_json(config))\n"
        "assert 'liver' in organs_of(row)\n"
        "check(Choice(), ['liver'])\n"
        "heavy = {'torch', 'monai', 'scipy', 'nibabel', 'highdicom', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


def test_decided_candidates_show_who_decided(web, made_run, coordinator):
    row = made_run.candidates.filter(state="pending").first()
    decide(row, "rejected", reason="Poor image quality", actor=coordinator)
    page = web.get(reverse("cases:candidate", args=[row.pk])).content.decode()
    assert "Poor image quality" in page
    assert "Carol" in page
    assert "accept-form" not in page
