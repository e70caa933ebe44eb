"""The numbers of a study, as one document that tables, figures and report are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import readerstudy

if TYPE_CHECKING:
    from recognition.engine.utility.config import StudyConfig
    from recognition.engine.utility.diversity import Diversity
    from recognition.engine.utility.gain import Draws, Study
    from recognition.engine.utility.lesions import Sample
    from recognition.engine.utility.memorization import Memorization
    from recognition.engine.utility.plan import Arm
    from recognition.engine.utility.study import Done

#: Rates (false positives per scan) at which the curves are drawn.
RATES = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
Comparisons = Mapping[str, "tuple[Memorization, Diversity]"]


def build(
    config: StudyConfig,
    done: Sequence[Done],
    failed: Mapping[str, str],
    compared: Comparisons,
) -> dict[str, Any]:
    """Everything the report says. Arms of which a training is missing are left out, by name."""
    import numpy as np

    from recognition.engine.utility.gain import Draws, Study, contrast, ratio, with_holm
    from recognition.engine.utility.plan import arms_of, contrasts_of, parts_of

    whole = [
        arm
        for arm in arms_of(config)
        if sum(one.part.arm == arm for one in done)
        == sum(part.arm == arm for part in parts_of(config))
    ]
    document: dict[str, Any] = {
        "software": f"readerstudy {readerstudy.__version__}",
        "config": config.model_dump(mode="json"),
        "primary": primary_of(config),
        "failed": dict(failed),
        "left_out": [arm.name for arm in arms_of(config) if arm not in whole],
        "arms": [],
        "contrasts": [],
        "transfer": [],
        "copies": [_copies(name, *one) for name, one in compared.items()],
        "trainings": [_training(one) for one in done],
    }
    if not whole:
        return document
    study = Study.of({arm.name: _by_seed(done, arm) for arm in whole}, config.evaluation.rule)
    rng = np.random.default_rng(config.statistics.seed)
    draws = Draws.of(study, config.statistics.replicates, rng)
    rate = config.evaluation.false_positives
    document["patients"] = len(study.patients)
    document["lesions"] = len(next(iter(study.marks[whole[0].name].values())).found)
    document["arms"] = [_arm(study, draws, arm, rate) for arm in whole]
    rows = [
        contrast(study, draws, arm.name, reference.name, question, rate, rng)
        for arm, reference, question in contrasts_of(config)
        if arm in whole and reference in whole
    ]
    document["contrasts"] = [asdict(row) for row in with_holm(rows)]
    real = next((arm for arm in whole if arm.kind == "real"), None)
    for arm in whole:
        if arm.kind == "synthetic" and real is not None:
            values = [draws.values(study, one.name, rate) for one in (arm, real)]
            document["transfer"].append({"arm": arm.name, **asdict(ratio(*values))})
    return document


def primary_of(config: StudyConfig) -> str | None:
    """The arm the study's answer is about, named before anything is seen.

    Real lesions and the first source's, at full scale and with the gate.
    """
    from recognition.engine.utility.plan import arms_of

    wanted = (
        arm.name
        for arm in arms_of(config)
        if arm.kind == "both" and arm.gate and arm.scale == max(config.scales)
    )
    return next(wanted, None)


def compare(
    config: StudyConfig,
    make: Callable[[Any, bool], Any],
    tell: Callable[[int, int], None],
) -> dict[str, tuple[Memorization, Diversity]]:
    """Memorization and diversity of every source.

    Raises:
        RecognitionError: a list or a volume cannot be read.
    """
    import numpy as np

    from recognition.engine.utility.diversity import diversity
    from recognition.engine.utility.memorization import memorization
    from recognition.engine.utility.sampling import made_samples, real_samples

    if not config.copies.lesions:
        return {}
    real = real_samples(config)
    out = {}
    for source in config.sources:
        synthesizer = None if source.kind == "volumes" else make(source, True)
        made = made_samples(config, source, synthesizer, tell)
        rng = np.random.default_rng(config.statistics.seed)
        out[source.name] = (memorization(made, real), diversity(made, real, rng))
    return out


def _by_seed(done: Sequence[Done], arm: Arm) -> dict[int, list[Any]]:
    out: dict[int, list[Any]] = {}
    for one in done:
        if one.part.arm == arm:
            out.setdefault(one.part.seed, []).extend(one.scans)
    return out


def _arm(study: Study, draws: Draws, arm: Arm, rate: float) -> dict[str, Any]:
    from recognition.engine.utility.gain import bands, curve, estimate

    by_size = bands(study, draws, arm.name, rate)
    return {
        "name": arm.name,
        "kind": arm.kind,
        "source": arm.source.name if arm.source else None,
        "scale": arm.scale,
        "gate": arm.gate,
        "sensitivity": asdict(estimate(draws.values(study, arm.name, rate))),
        "score": asdict(estimate(draws.values(study, arm.name, None))),
        "dice": asdict(estimate(draws.dice(study, arm.name), "No scan holds a tumor.")),
        "by_seed": {str(seed): _one_seed(study, draws, arm, seed, rate) for seed in study.seeds},
        "bands": [
            {"band": band, "lesions": count, **asdict(value)}
            for band, (value, count) in by_size.items()
        ],
        "curve": [
            {"false_positives": x, **asdict(y)}
            for x, y in zip(RATES, curve(study, draws, arm.name, RATES), strict=True)
        ],
    }


def _one_seed(study: Study, draws: Draws, arm: Arm, seed: int, rate: float) -> float | None:
    import numpy as np

    from recognition.engine.utility.gain import sensitivity

    value = float(sensitivity(study.marks[arm.name][seed], draws.patients[:1], rate)[0])
    return value if np.isfinite(value) else None


def _training(one: Done) -> dict[str, Any]:
    return {
        "arm": one.part.arm.name,
        "seed": one.part.seed,
        "fold": one.part.fold if one.part.fold >= 0 else None,
        "steps": one.steps,
        "labelled_volumes": one.labelled,
        "lesions_made": one.inserted,
        "lesions_rejected": one.rejected,
        "seconds": one.seconds,
        "checkpoint_sha256": one.checkpoint_sha256,
    }


def _copies(name: str, found: Memorization, varied: Diversity) -> dict[str, Any]:
    import numpy as np

    def pair(one: Any) -> dict[str, Any]:
        lesion: Sample = one.lesion
        return {
            "lesion": lesion.name,
            "diameter_mm": lesion.diameter_mm,
            "nearest": one.training.name,
            "distance": one.distance,
            "copy": one.copy,
        }

    distances = [one.distance for one in found.pairs]
    return {
        "source": name,
        "lesions": len(found.pairs),
        "copies": len(found.copies),
        "limit": found.limit,
        "reason": found.reason,
        "median": float(np.median(distances)) if distances else None,
        "median_real": float(np.median(found.real)) if found.real else None,
        "nearer": found.nearer,
        "real": list(found.real),
        "pairs": [pair(one) for one in found.pairs],
        "diversity": asdict(varied),
    }
