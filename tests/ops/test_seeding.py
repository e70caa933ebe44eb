"""seed_demo on small phantoms: what it makes, and that an interrupted start is taken up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from readerstudy.errors import UserError
from readerstudy.ops import seeding

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding, "PHANTOM_CASES", {"liver": (2, 2)})
    monkeypatch.setattr(seeding, "PHANTOM_SHAPE", (40, 128, 128))
    monkeypatch.setattr(seeding, "DIAMETER_MM", (10.0, 16.0))


def test_an_interrupted_start_is_taken_up_and_nothing_doubles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from readerstudy.cases.models import Candidate
    from readerstudy.library.models import Volume
    from readerstudy.trials.models import CaseTruth, Trial

    with monkeypatch.context() as interrupted:
        interrupted.setattr("readerstudy.trials.actions.open_trial", stop)
        with pytest.raises(KeyboardInterrupt):
            seeding.seed(ignore)
    assert Trial.objects.get(slug="demo").state == "draft"
    assert not seeding.demo_exists(), "half a demo is none"
    before = (Volume.objects.count(), Candidate.objects.count())

    trial = seeding.seed(ignore)
    assert trial.state == "open"
    assert seeding.demo_exists()
    assert (Volume.objects.count(), Candidate.objects.count()) == before
    assert Trial.objects.count() == 1
    arms = Counter(CaseTruth.objects.filter(case__trial=trial).values_list("arm", flat=True))
    assert arms["real"] == arms["synthetic"] > 0


def test_a_pool_is_of_other_patients_and_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from readerstudy.analysis.machines.selectors import pool
    from readerstudy.cases.models import Candidate
    from readerstudy.trials.models import Trial

    monkeypatch.setattr(seeding, "PHANTOM_CASES", {"liver": (1, 1)})
    monkeypatch.setattr(seeding, "POOL_PHANTOMS", {"liver": (1, 1)})
    monkeypatch.setattr(seeding, "POOL_LESIONS", 1)
    trial = seeding.seed(ignore)
    assert seeding.seed_pool(ignore) == 2
    rows = pool(Trial.objects.get(pk=trial.pk))
    assert sorted(row.kind for row in rows) == ["real", "synthetic"]
    count = Candidate.objects.count()
    assert seeding.seed_pool(ignore) == 2
    assert Candidate.objects.count() == count


def test_a_folder_without_ct_is_one_sentence(tmp_path: Path) -> None:
    from readerstudy.trials.models import Trial

    folder = tmp_path / "ct" / "volume"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("no images here")
    with pytest.raises(UserError, match="No CT volume was found"):
        seeding.seed(ignore, folder.parent)
    assert not Trial.objects.exists()


def ignore(text: str) -> None:
    pass


def stop(*args: object, **options: object) -> None:
    raise KeyboardInterrupt
