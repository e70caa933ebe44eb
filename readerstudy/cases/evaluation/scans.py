"""One scan of one method: read the masks, measure, write the result as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from readerstudy.cases.errors import CasesError
from readerstudy.cases.evaluation.pairs import Pair
from readerstudy.library.imaging.errors import ImagingError
from readerstudy.library.imaging.geometry import Geometry
from readerstudy.library.imaging.nifti import NiftiFile
from readerstudy.storage import atomic_write_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recognition.engine.evaluation import Scan

#: Changes when the same masks could give other numbers: stored results are then made anew.
VERSION = 1


@dataclass(frozen=True)
class Rules:
    """What the numbers depend on besides the masks.

    ``labels`` are the values that mean tumor (empty: every value above 0); ``smallest_mm`` drops
    predicted specks; the rest is explained in ``recognition.engine.overlap``.
    """

    labels: tuple[int, ...] = ()
    tolerance_mm: float = 2.0
    empty: str = "exclude"
    smallest_mm: float = 0.0


def is_done(pair: Pair, rules: Rules) -> bool:
    """Whether the result of this pair is there, of these files and under these rules."""
    try:
        stored = json.loads(pair.result.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(stored.get("made_of") == _made_of(pair, rules))


def evaluate(pair: Pair, rules: Rules) -> None:
    """Measure one pair and write its result.

    Raises:
        CasesError: a file that is no mask, or masks on two grids.
    """
    from recognition.engine.detection import HIT_RULES, match
    from recognition.engine.lesions import find_lesions
    from recognition.engine.overlap import dice, surface_dice

    reference, grid = _mask(pair.reference, rules.labels)
    prediction, other = _mask(pair.prediction, rules.labels)
    _same(pair.prediction, other, pair.reference, grid)
    probability = _probability(pair, grid)
    spacing = grid.spacing
    predicted, predictions = find_lesions(
        prediction, spacing, probability=probability, smallest_mm=rules.smallest_mm
    )
    true, truths = find_lesions(reference, spacing)
    kept = predicted > 0
    empty: Any = rules.empty
    document = {
        "made_of": _made_of(pair, rules),
        "dice": dice(kept, reference, empty),
        "surface": surface_dice(
            kept, reference, spacing, tolerance_mm=rules.tolerance_mm, empty=empty
        ),
        "detections": {
            rule: asdict(match(predicted, predictions, true, truths, rule)) for rule in HIT_RULES
        },
        "reference_lesions": len(truths),
        "predicted_lesions": len(predictions),
        "reference_ml": sum(lesion.volume_ml for lesion in truths),
        "predicted_ml": sum(lesion.volume_ml for lesion in predictions),
    }
    atomic_write_bytes(pair.result, (json.dumps(document, indent=1) + "\n").encode())


def load(pair: Pair) -> Scan:
    """The stored result as the engine's record."""
    from recognition.engine.detection import Detection, Target
    from recognition.engine.evaluation import Scan

    stored = json.loads(pair.result.read_text(encoding="utf-8"))
    stored.pop("made_of")
    detections = {
        rule: Detection(
            rule=one["rule"],
            targets=tuple(Target(**target) for target in one["targets"]),
            false_positives=tuple(one["false_positives"]),
            rating=one["rating"],
        )
        for rule, one in stored.pop("detections").items()
    }
    return Scan(name=pair.name, patient=pair.patient, detections=detections, **stored)


def _made_of(pair: Pair, rules: Rules) -> dict[str, Any]:
    files = [pair.prediction, pair.reference, *([pair.probability] if pair.probability else [])]
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    document = {"version": VERSION, "rules": asdict(rules), "files": stamps}
    result: dict[str, Any] = json.loads(json.dumps(document))
    return result


def _read(path: Path) -> tuple[NDArray[np.float32], Geometry]:
    import numpy as np

    try:
        file = NiftiFile(path)
        slope, intercept = file.scaling()
        return (file.stored().astype(np.float32) * slope + intercept, file.geometry)
    except ImagingError as error:
        raise CasesError(f"{path} cannot be used: {error}.") from None


def _mask(path: Path, labels: tuple[int, ...]) -> tuple[NDArray[np.bool_], Geometry]:
    import numpy as np

    values, grid = _read(path)
    if not np.array_equal(values, np.rint(values)) or values.min() < 0:
        raise CasesError(
            f"{path} is no mask: it holds values that are not whole numbers from 0 up."
        )
    return (np.isin(values, labels) if labels else values > 0), grid


def _probability(pair: Pair, grid: Geometry) -> NDArray[np.float32] | None:
    if pair.probability is None:
        return None
    values, other = _read(pair.probability)
    _same(pair.probability, other, pair.reference, grid)
    if not (values.min() >= 0 and values.max() <= 1):
        raise CasesError(f"{pair.probability} is no probability map: it leaves 0 to 1.")
    return values


def _same(path: Path, grid: Geometry, reference: Path, other: Geometry) -> None:
    if not grid.same_grid(other):
        raise CasesError(
            f"{path} is on another grid ({grid.describe()}) than {reference} "
            f"({other.describe()}); resample it to the reference."
        )
