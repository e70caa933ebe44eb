"""Simulated readers: the model gives the AUC asked for, and the whole road gives it back."""

from __future__ import annotations

import re

import numpy as np
import pytest

from readerstudy.analysis.simulation import (
    auc_of,
    category_probabilities,
    empirical_auc,
    rating_model,
)
from readerstudy.errors import UserError
from readerstudy.reading.robot import Robot, RobotError, spread


class TestModel:
    @pytest.mark.parametrize("auc", [0.02, 0.3, 0.5, 0.65, 0.8, 0.98])
    def test_the_ratings_have_exactly_the_auc_asked_for(self, auc):
        model = rating_model(auc)
        assert auc_of(model) == pytest.approx(auc, abs=1e-9)
        assert model.sum(axis=1) == pytest.approx([1, 1])
        assert (model > 0).all()

    def test_the_reader_favours_neither_side(self):
        real, synthetic = rating_model(0.8)
        assert synthetic == pytest.approx(real[::-1])
        assert (real + synthetic) / 2 == pytest.approx(np.full(6, 1 / 6))

    def test_the_auc_of_a_table_by_hand(self):
        certain = np.array([[1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]], float)
        assert auc_of(certain) == 1.0
        # Real 1 or 2, synthetic 2 or 3, even odds: 3/4 above, 1/4 equal.
        shifted = np.array([[0.5, 0.5, 0, 0, 0, 0], [0, 0.5, 0.5, 0, 0, 0]])
        assert auc_of(shifted) == pytest.approx(0.875)

    def test_no_skill_is_the_same_table_for_both(self):
        real, synthetic = category_probabilities(0.0)
        assert real == pytest.approx(synthetic)

    @pytest.mark.parametrize("auc", [-1, 0, 0.999, 1, 7])
    def test_an_auc_out_of_reach_is_one_sentence(self, auc):
        with pytest.raises(UserError, match=r"choose one from 0\.02 to 0\.98"):
            rating_model(auc)

    def test_empirical_auc_by_hand(self):
        assert empirical_auc([1, 2], [2, 3]) == pytest.approx(0.875)
        assert empirical_auc([], [1]) is None


def test_spread_takes_frames_over_the_whole_case():
    assert spread(150, 3) == [0, 74, 149]
    assert spread(2, 3) == [0, 1] and spread(1, 3) == [0] and spread(5, 1) == [0]


SEED = """
from readerstudy.accounts.services import create_user
from tests.reading.world import build
build([], practice=2, main=40, slug="road")
"""
ADD = """
from readerstudy.trials.models import Trial, CaseTruth, Membership
from readerstudy.reading.models import Judgment
members = Membership.objects.filter(trial__slug="road", role="reader")
print(json.dumps({
    "codes": [m.code for m in members], "names": [str(m.user) for m in members],
    "judgments": Judgment.objects.count(),
    "ratings": list(
        Judgment.objects.order_by("assignment__membership__code", "assignment__position")
        .values_list("rating", flat=True)
    ),
    "backends": sorted({j.backend for j in Judgment.objects.all()}),
}))
"""


@pytest.fixture(scope="module")
def road(site):
    site.python(SEED)
    return site


@pytest.mark.slow
def test_simulated_readers_read_a_whole_trial_over_http_and_give_the_auc_back(road):
    done = road.manage("simulate_readers", "road", "--readers", "4", "--auc", "0.8", "--seed", "3")
    found = road.python(ADD)
    # Two practice cases, forty main ones and six repeats each; repeats are left out of the AUC.
    assert found["judgments"] == 4 * 48 and found["backends"] == ["simulated"]
    assert all("Simulated reader" in name for name in found["names"])
    mean, asked = re.search(
        r"Mean AUC ([\d.]+) ± [\d.]+; asked for ([\d.]+)\.\n", done.stdout
    ).groups()
    # 4 readers x (20 + 20) cases: the standard error of the mean is 0.035; four of them.
    assert asked == "0.8" and float(mean) == pytest.approx(0.8, abs=0.14)
    assert re.search(r"R01 +40 answers  AUC 0\.\d{3}", done.stdout)

    again = road.manage("simulate_readers", "road", "--readers", "4", "--auc", "0.8", "--seed", "3")
    assert road.python(ADD) == found, "a second run takes up the same readers, who are done"
    assert "Mean AUC " + mean in again.stdout


def test_the_same_seed_gives_the_same_ratings(road):
    from readerstudy.analysis.simulation import decide_with

    case = {"token": "t", "phase": "main", "position": 3, "frames": {"count": 9}, "windows": [{}]}
    model, arms = rating_model(0.7), {"t": "synthetic"}

    def ratings(seed):
        decide = decide_with(model, arms, seed, 1)
        return [decide(case | {"position": p})["rating"] for p in range(200)]

    assert ratings(5) == ratings(5) != ratings(6)
    assert np.mean(ratings(5)) == pytest.approx(model[1] @ np.arange(1, 7), abs=0.4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "There is no trial 'nothing'"),
        (["road", "--auc", "1.5"], "An AUC of 1.5 cannot be simulated"),
        (["road", "--readers", "0"], "0 readers cannot read"),
        (["road", "--url", "nonsense"], "'nonsense' is no address"),
        (["road", "--url", "http://127.0.0.1:9"], "does not answer"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(road, arguments, sentence):
    done = road.manage("simulate_readers", *arguments, check=False)
    assert done.returncode == 2 and sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_robot_says_what_the_server_refused(road):
    road.start()
    robot = Robot(road.url)
    with pytest.raises(RobotError, match="could not sign in"):
        robot.sign_in("nobody@example.org", "wrong password 1")


ORDER = """
from readerstudy.accounts.models import User
from readerstudy.accounts.services import create_user
from readerstudy.reading.selectors import unanswered
from readerstudy.trials.models import Membership
from tests.reading.world import build
if not User.objects.filter(email="t9@example.org").exists():
    build([create_user("t9@example.org", password="correct horse 9")], slug="order")
member = Membership.objects.get(user__email="t9@example.org")
print(json.dumps([a.token for a in unanswered(member)]))
"""


def test_T9_another_process_with_another_hash_seed_has_the_same_order(site, monkeypatch):
    orders = []
    for seed in ("1", "2", "random"):
        monkeypatch.setitem(site.environment, "PYTHONHASHSEED", seed)
        orders.append(site.python(ORDER))
    assert len(orders[0]) == 6 and orders[0] == orders[1] == orders[2]
