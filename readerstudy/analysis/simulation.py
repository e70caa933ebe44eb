"""Simulated readers: a trial read over HTTP by accounts whose skill is known.

They see what readers see. The one thing they know more is the truth, which this process takes
from the database: that is why they live here and not in `reading`. If a trial with readers of
known skill gives that skill back, the road from a click to a number holds.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from django.db import connections, transaction
from django.utils import timezone

from readerstudy.accounts.models import User
from readerstudy.accounts.services import accept_invitation, invite
from readerstudy.errors import UserError
from readerstudy.reading.models import Judgment
from readerstudy.reading.robot import Robot
from readerstudy.trials.models import Assignment, CaseTruth, Membership, Trial
from readerstudy.trials.services import add_reader

CATEGORIES = 6
LOWEST_AUC, HIGHEST_AUC = 0.02, 0.98
MEDIAN_SECONDS = 60.0


# ------------------------------------------------------------------------------------ the model
def normal_cdf(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def _bisect(function: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Where an increasing function reaches `target`."""
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < target else (low, middle)
    return (low + high) / 2


def category_probabilities(separation: float) -> np.ndarray:
    """Probability of each rating, (2, 6): rows real and synthetic.

    Equal-variance binormal model: evidence is N(0, 1) for a real tumor and N(separation, 1) for a
    synthetic one. The five cut points split the equal mixture of both into six equal parts, so
    they are symmetric about the neutral point: the reader favours neither answer.
    """
    means = (0.0, separation)
    span = abs(separation) + 9

    def mixture(x: float) -> float:
        return sum(normal_cdf(x - mean) for mean in means) / 2

    cuts = [_bisect(mixture, k / CATEGORIES, -span, span) for k in range(1, CATEGORIES)]
    cumulative = np.array([[0.0, *(normal_cdf(c - mean) for c in cuts), 1.0] for mean in means])
    return np.diff(cumulative, axis=1)


def auc_of(probabilities: np.ndarray) -> float:
    """P(synthetic rated above real) + P(equal ratings) / 2, from a (2, 6) table."""
    real, synthetic = probabilities
    below = np.concatenate([[0.0], np.cumsum(real)[:-1]])
    return float(synthetic @ (below + real / 2))


def rating_model(auc: float) -> np.ndarray:
    """The (2, 6) table whose ratings have exactly this AUC.

    Six categories lose a little of what the evidence holds; the separation is chosen so that the
    AUC of the ratings, which is what a trial measures, is the one asked for.
    Raises UserError for an AUC that six categories cannot have.
    """
    if not LOWEST_AUC <= auc <= HIGHEST_AUC:
        raise UserError(
            f"An AUC of {auc:g} cannot be simulated; choose one from {LOWEST_AUC} to {HIGHEST_AUC}."
        )
    separation = _bisect(lambda d: auc_of(category_probabilities(d)), auc, -8.0, 8.0)
    return category_probabilities(separation)


def empirical_auc(real: Sequence[float], synthetic: Sequence[float]) -> float | None:
    """Mann-Whitney AUC of two samples of ratings, ties counted one half; None without both."""
    if not real or not synthetic:
        return None
    difference = np.subtract.outer(np.asarray(synthetic, float), np.asarray(real, float))
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


# ----------------------------------------------------------------------------------- the people
@dataclass(frozen=True)
class Simulated:
    """A simulated reader's account, with a password that only this run knows."""

    membership: Membership
    email: str
    password: str
    number: int


def simulated_email(trial: Trial, seed: int, number: int) -> str:
    return f"simulated-{number:02d}-seed-{seed}-{trial.pk.hex[:8]}@simulated.invalid"


def enlist(trial: Trial, number: int, seed: int) -> Simulated:
    """Add simulated reader `number` to the trial, or take up the one of an earlier run.

    The account is real and says in its name that it is simulated.
    """
    email = simulated_email(trial, seed, number)
    password = secrets.token_urlsafe(24)
    with transaction.atomic():
        membership = Membership.objects.filter(
            trial=trial, user__email=email, role=Membership.Role.READER, valid_to__isnull=True
        ).first()
        if membership is None:
            membership = add_reader(
                trial,
                email=email,
                actor=None,
                display_name=f"Simulated reader {number} (seed {seed})",
                experience_years=None,
                specialty="simulated",
            ).membership
        user = User.objects.get(email=email)
        accept_invitation(invite(user, actor=None), password)
    return Simulated(membership, email, password, number)


# ---------------------------------------------------------------------------------- the reading
@dataclass(frozen=True)
class Result:
    """What one simulated reader came to. `auc` is None while one of the arms is missing."""

    code: str
    answers: int
    auc: float | None


def arms_by_token(membership: Membership) -> dict[str, str]:
    rows = Assignment.objects.filter(membership=membership).values_list("token", "case__truth__arm")
    return dict(rows)


def decide_with(
    model: np.ndarray, arms: dict[str, str], seed: int, number: int
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The reader's mind: a rating from the model, a time like a person's.

    Each case has a generator of its own, so that an interrupted run goes on with the same answers.
    """

    def decide(case: dict[str, Any]) -> dict[str, Any]:
        rng = np.random.default_rng([seed, number, case["phase"] == "main", case["position"]])
        rating = 1 + int(rng.choice(CATEGORIES, p=model[int(arms[case["token"]] == "synthetic")]))
        seconds = float(np.clip(rng.lognormal(math.log(MEDIAN_SECONDS), 0.5), 5, 900))
        submitted = timezone.now()
        seen = range(0, case["frames"]["count"], 1 + int(rng.integers(0, 2)))
        return {
            "rating": rating,
            "comment": "",
            "cues": [],
            "client": {
                "elapsed_ms": round(seconds * 1150),
                "active_ms": round(seconds * 1000),
                "load_ms": int(rng.integers(300, 2500)),
                "started_at": _iso(submitted - timedelta(seconds=seconds)),
                "submitted_at": _iso(submitted),
                "slices_seen": list(seen),
                "windows_used": [case["windows"][0]],
                "backend": "simulated",
                "screen": {"width": 1920, "height": 1080, "dpr": 1, "canvas": [1400, 1000]},
                "zoom": 1.0,
                "hidden_ms": 0,
                "frame_errors": [],
            },
        }

    return decide


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def simulate(
    trial: Trial,
    *,
    readers: int,
    auc: float,
    seed: int,
    base: str,
    say: Callable[[str], object] = lambda text: None,
    threads: int = 4,
) -> list[Result]:
    """Let `readers` simulated readers read the whole trial at `base`; returns their AUCs.

    Ratings follow from the seed, the reader's number and the position, and from nothing else.
    Raises UserError when the trial is not open or its truth is not known.
    """
    if readers < 1:
        raise UserError(f"{readers} readers cannot read; ask for one at least.")
    if trial.state != Trial.State.OPEN:
        raise UserError(f"The trial {trial.slug} is {trial.state}; simulated readers need it open.")
    if not CaseTruth.objects.filter(case__trial=trial).exists():
        raise UserError(f"The trial {trial.slug} has no truth table, so no skill can be simulated.")
    model = rating_model(auc)
    people = [enlist(trial, number, seed) for number in range(1, readers + 1)]
    total = Assignment.objects.filter(membership__in=[p.membership for p in people]).count()
    meter = Meter(total, say)

    def one(person: Simulated) -> None:
        robot = Robot(base)
        try:
            arms = arms_by_token(person.membership)
            decide = decide_with(model, arms, seed, person.number)

            def counted(case: dict[str, Any]) -> dict[str, Any]:
                meter.step(person.membership.code)
                return decide(case)

            robot.sign_in(person.email, person.password)
            robot.read(trial.slug, counted)
        finally:
            robot.close()
            connections.close_all()

    with ThreadPoolExecutor(max_workers=max(1, min(threads, readers))) as pool:
        list(pool.map(one, people))
    return [result_of(person.membership) for person in people]


class Meter:
    """Says how far the simulation is, at most every two seconds."""

    def __init__(self, total: int, say: Callable[[str], object]) -> None:
        self._total, self._say = total, say
        self._done = 0
        self._start = self._said = time.monotonic()
        self._lock = threading.Lock()

    def step(self, code: str) -> None:
        with self._lock:
            self._done += 1
            now = time.monotonic()
            if now - self._said < 2 and self._done < self._total:
                return
            self._said = now
            left = (now - self._start) / self._done * max(0, self._total - self._done)
            self._say(f"{self._done} of {self._total} answers, about {left:.0f} s left")


def result_of(membership: Membership) -> Result:
    """The AUC of a reader's stored main answers, repeats left out."""
    rows = Judgment.objects.filter(
        assignment__membership=membership, assignment__phase="main", assignment__repeat=1
    ).values_list("rating", "assignment__case__truth__arm")
    ratings: dict[str, list[float]] = {"real": [], "synthetic": []}
    for rating, arm in rows:
        ratings[arm].append(rating)
    count = sum(len(values) for values in ratings.values())
    return Result(membership.code, count, empirical_auc(ratings["real"], ratings["synthetic"]))
