"""What a machine learned from, in plain sentences. None of them is shown before unblinding."""

from __future__ import annotations

from collections import Counter
from typing import Any

from readerstudy.cases.models import Candidate


def examples_of(rows: list[Candidate], patients: int, sha256: str) -> dict[str, Any]:
    """Counts of the lesions that were learned from."""
    made = [row for row in rows if row.kind == Candidate.Kind.SYNTHETIC]
    return {
        "real": len(rows) - len(made),
        "synthetic": len(made),
        "patients": patients,
        "organs": _counted(row.organ.lower() for row in rows),
        "generators": _counted(row.run.generator for row in made if row.run is not None),
        "sha256": sha256,
    }


def _counted(names: Any) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def learned_from(examples: dict[str, Any]) -> str:
    organs = ", ".join(f"{name} {count}" for name, count in examples["organs"].items())
    generators = ", ".join(examples["generators"]) or "elsewhere"
    return (
        f"Trained on {examples['real']} real and {examples['synthetic']} synthetic lesions of "
        f"{examples['patients']} patients, none of whom is in this trial ({organs}; synthetic "
        f"ones made by {generators})."
    )


def rule_of(folds: int) -> str:
    return (
        f"Thresholds of verdict and confidence were fixed on the training lesions alone, on scores "
        f"given out of fold ({folds} folds, each patient in one): the verdict where balanced "
        "accuracy was highest, the confidence at thirds of the scores on each side."
    )


def untrained(segmentor: dict[str, str], knows: list[str], organs: list[str]) -> str:
    """About the gate, which has seen neither arm."""
    unknown = [organ for organ in organs if organ not in knows]
    text = (
        f"Not trained on real against synthetic. It asks the segmentor {segmentor['name']} "
        f"({segmentor['source'] or 'registered here'}, SHA-256 {segmentor['sha256'][:12]}…), which "
        f"learned tumors of {', '.join(knows)}"
    )
    if unknown:
        return text + f" and none of the {', '.join(unknown)}: expect little there."
    return text + "."
