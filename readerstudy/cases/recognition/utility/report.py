"""Tables, figures and the page of a utility study, written from its results document."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.template.loader import render_to_string

from readerstudy.cases.evaluation.tables import write_rows
from readerstudy.standalone import style_element
from readerstudy.storage import atomic_write_bytes

from .figures import draw_all, measure_of, side_by_side

if TYPE_CHECKING:
    from recognition.engine.utility.config import StudyConfig
    from recognition.engine.utility.memorization import Memorization
    from recognition.engine.utility.study import Done

#: Look-alikes shown of each source, copies and the nearest others.
MOST_SHOWN = 12
_OTHERS = 3


def write_report(
    config: StudyConfig,
    results: dict[str, Any],
    done: Sequence[Done],
    compared: Mapping[str, tuple[Memorization, Any]],
) -> Path:
    """Write report.html, results.json, tables and figures; the page."""
    out = Path(config.out)
    text = json.dumps(results, indent=2) + "\n"
    atomic_write_bytes(out / "results.json", text.encode())
    for name, rows in _tables(results, done).items():
        write_rows(out / "tables" / f"{name}.csv", rows)
    figures = draw_all(results)
    for name, data in figures.items():
        atomic_write_bytes(out / "figures" / f"{name}.svg", data)
    pictures = {}
    for source, (found, _) in compared.items():
        shown = [*found.copies, *(p for p in found.pairs if not p.copy)][
            : min(MOST_SHOWN, len(found.copies) + _OTHERS)
        ]
        if shown:
            low, high = config.training.data.windows_hu[0]
            pictures[source] = side_by_side(shown, (low, high))
            name = "".join(c if c.isalnum() else "-" for c in source)
            atomic_write_bytes(out / "figures" / f"nearest-{name}.png", pictures[source])
    page = render_to_string(
        "cases/utility/report.html",
        {
            "style": style_element(Path(__file__).with_name("report.css")),
            "results": results,
            "methods": methods(results),
            "measure": measure_of(results),
            "answer": answer(results),
            "arms": results["arms"],
            "contrasts": results["contrasts"],
            "copies": [
                {**one, "picture": _data(pictures.get(one["source"]), "image/png")}
                for one in results["copies"]
            ],
            "figures": {k: _data(v, "image/svg+xml") for k, v in figures.items()},
            "seconds": sum(one["seconds"] for one in results["trainings"]),
        },
    )
    atomic_write_bytes(out / "report.html", page.encode())
    return out / "report.html"


def answer(results: dict[str, Any]) -> str:
    """The study's answer in one sentence: the gain of the arm that was named beforehand."""
    row = next(
        (
            row
            for row in results["contrasts"]
            if row["arm"] == results["primary"]
            and row["question"] == "added to real"
            and row["gain"]["value"] is not None
        ),
        None,
    )
    if row is None:
        return "Real lesions with and without synthetic ones are not both there: no answer yet."
    gain = row["gain"]
    span = f"95 % interval {gain['low']:+.2f} to {gain['high']:+.2f}"
    if gain["low"] > 0:
        verdict = "synthetic lesions helped"
    elif gain["high"] < 0:
        verdict = "synthetic lesions did harm"
    else:
        verdict = "the interval holds zero, so no gain is shown"
    return (
        f"{row['arm']} against {row['reference']}: {measure_of(results)} {gain['value']:+.2f} "
        f"({span}): {verdict}."
    )


def methods(results: dict[str, Any]) -> list[str]:
    """What was done, as a paper would say it."""
    config = results["config"]
    training, data = config["training"], config["training"]["data"]
    optimizer, network = training["optimizer"], training["network"]
    spacing = " x ".join(f"{s:g}" for s in data["spacing_mm"])
    crop = " x ".join(str(n) for n in data["crop"])
    how = config["evaluation"]
    seeds = config["seeds"]
    hit = (
        "prediction and lesion share at least a tenth of their union"
        if how["rule"] == "iou"
        else "the center of a prediction lies in the lesion"
    )
    if config["phantoms"]["labelled"]:
        p = config["phantoms"]
        own = p["labelled_diameter_mm"]
        large = f" of {own[0]:g} to {own[1]:g} mm" if own else ""
        phantoms = (
            f"The volumes are procedural CT phantoms of the abdomen ({p['labelled']} labelled "
            f"with {p['labelled_lesions']} lesion(s){large} each, {p['hosts']} tumor-free hosts, "
            f"{p['test']} held out with up to {p['test_lesions']} lesions each, diameters "
            f"{p['diameter_mm'][0]:g} to {p['diameter_mm'][1]:g} mm); the lesions called real "
            "were grown in them by a recipe that no generator uses. Phantoms say that the "
            "method works, not what synthesis is worth in patients."
        )
    else:
        phantoms = ""
    tested = (
        "on the held-out volumes of the test lists"
        if config["test"]
        else f"fold by fold on the labelled volumes, cut by patient into {data['folds']} folds"
    )
    drawn = "patients and seeds" if len(seeds) > 1 else "patients (one seed: how trainings "
    drawn += "" if len(seeds) > 1 else "differ among themselves is not in the intervals)"
    texts = [
        phantoms,
        f"Every network ({network['name']}, {network['width']} channels on its first level) was "
        f"trained for the same {optimizer['steps']} steps of {optimizer['batch']} crops of {crop} "
        f"voxels at {spacing} mm, with {len(seeds)} seed(s) for each arm; arms differ only in "
        "what the crops show. No checkpoint was chosen: the last weights were tested "
        f"{tested}. Synthetic lesions were made on the fly in tumor-free crops"
        f"{' and passed a quality gate unless an arm says otherwise' if config['ungated'] else ''}"
        "; volumes made elsewhere were cropped as they are.",
        f"A lesion counts as found when {hit}; finds are components above a probability of "
        f"{how['threshold']:g} and above {how['smallest_mm']:g} mm, ranked by their highest "
        f"probability. The primary measure is {measure_of(results)}, read from the free-response "
        "curve of each training and averaged over seeds; nothing else was tuned on the test "
        "scans.",
        f"The comparison that answers the question was named beforehand: {results['primary']} "
        "against real only. "
        f"Intervals are 95 % percentile intervals of {config['statistics']['replicates']} "
        f"bootstrap draws of {drawn}, the same for both sides of a difference. p values come "
        "from exchanging the two arms' results patient by patient; Holm's correction is over "
        f"the {len(results['contrasts'])} comparisons of the table.",
    ]
    return [text for text in texts if text]


def _tables(results: dict[str, Any], done: Sequence[Done]) -> dict[str, Iterable[dict[str, Any]]]:
    def estimate(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value["value"], f"{name}_low": value["low"], f"{name}_high": value["high"]}

    arms = results["arms"]
    return {
        "arms": [
            {
                **{key: arm[key] for key in ("name", "kind", "source", "scale", "gate")},
                **estimate("sensitivity", arm["sensitivity"]),
                **estimate("froc_score", arm["score"]),
                **estimate("dice", arm["dice"]),
            }
            for arm in arms
        ],
        "by_seed": [
            {"arm": arm["name"], "seed": seed, "sensitivity": value}
            for arm in arms
            for seed, value in arm["by_seed"].items()
        ],
        "contrasts": [
            {
                "arm": row["arm"],
                "reference": row["reference"],
                "question": row["question"],
                **estimate("gain", row["gain"]),
                "p": row["p"],
                "p_holm": row["p_holm"],
            }
            for row in results["contrasts"]
        ],
        "bands": [{"arm": arm["name"], **band} for arm in arms for band in arm["bands"]],
        "froc": [{"arm": arm["name"], **point} for arm in arms for point in arm["curve"]],
        "transfer": results["transfer"],
        "nearest": [
            {"source": one["source"], **pair} for one in results["copies"] for pair in one["pairs"]
        ],
        "trainings": results["trainings"],
        "scans": _scans(done),
        "lesions": _lesions(done),
    }


def _scans(done: Sequence[Done]) -> Iterable[dict[str, Any]]:
    for one in done:
        for scan in one.scans:
            row = {
                "arm": one.part.arm.name,
                "seed": one.part.seed,
                "scan": scan.name,
                "patient": scan.patient,
                "dice": scan.dice,
                "lesions": scan.reference_lesions,
                "finds": scan.predicted_lesions,
            }
            for rule, found in scan.detections.items():
                row[f"hits_{rule}"] = found.hits
                row[f"false_positives_{rule}"] = len(found.false_positives)
            yield row


def _lesions(done: Sequence[Done]) -> Iterable[dict[str, Any]]:
    for one in done:
        for scan in one.scans:
            for number in range(scan.reference_lesions):
                targets = {rule: d.targets[number] for rule, d in scan.detections.items()}
                yield {
                    "arm": one.part.arm.name,
                    "seed": one.part.seed,
                    "scan": scan.name,
                    "patient": scan.patient,
                    "lesion": number + 1,
                    "diameter_mm": next(iter(targets.values())).diameter_mm,
                    **{f"probability_{rule}": t.found for rule, t in targets.items()},
                }


def _data(data: bytes | None, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}" if data else ""
