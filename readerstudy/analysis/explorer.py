"""The case explorer: which cases misled whom, as a list, as a map, and one case at a time.

Everything here is of an unblinded trial. What a case is comes from its stored results; the review
of one case adds its images and the lesion's outline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from readerstudy.cases.outline import lesion_outline
from readerstudy.reading.protocol import protocol_of, scale, window_list
from readerstudy.trials.models import Case, Trial
from readerstudy.trials.preparation import possible_seeds

from . import selectors, tables
from .machines import selectors as machines
from .models import ResultsSnapshot
from .tables.machines import titles

PADDING_HU = -1024
NARROW = "\N{NARROW NO-BREAK SPACE}"
#: Filters: (key in the address, label).
FILTERS = (
    ("truth", "Truth"),
    ("organ", "Organ"),
    ("size_band", "Size"),
    ("generator", "Generator"),
    ("misled", "Misled reader"),
)
#: A case in a list names the misled readers up to this many.
NAMED = 20

Row = dict[str, Any]


@dataclass(frozen=True)
class Order:
    """A column that the list can be sorted by; `first` is the direction it starts with."""

    key: str
    label: str
    value: Callable[[Row], Any]
    first: str = "down"
    number: bool = True


ORDERS = (
    Order("case", "Case", lambda row: row["case"], "up", number=False),
    Order("truth", "Truth", lambda row: row["truth"], "up", number=False),
    Order("organ", "Organ", lambda row: row["organ"], "up", number=False),
    Order("size", "Size, mm", lambda row: row["size_mm"]),
    Order("generator", "Generator", lambda row: row["generator"], "up", number=False),
    Order("wrong", "Wrong", lambda row: row["wrong"]),
    Order("rate", "Share wrong, 95 % (Wilson)", lambda row: row["rate"], number=False),
    Order("shrunken", "Shrunken", lambda row: row["shrunken"]),
    Order("score", "Mean score", lambda row: row["mean_score"]),
)
DEFAULT = "rate"


@dataclass(frozen=True)
class Head:
    """Heading of a column: the address that sorts by it, and how it is sorted now."""

    label: str
    query: str
    sorted: str
    number: bool


@dataclass(frozen=True)
class Choice:
    """What of the cases is shown and in which order; `query` says it in an address."""

    picked: dict[str, str]
    order: Order
    down: bool
    rows: list[Row]

    @property
    def filtered(self) -> bool:
        return any(self.picked.values())

    @property
    def query(self) -> str:
        return self._query(self.order, self.down)

    def heads(self) -> list[Head]:
        """A second click on a heading turns the order round."""
        heads = []
        for order in ORDERS:
            own = order is self.order
            down = not self.down if own else order.first == "down"
            how = ("descending" if self.down else "ascending") if own else ""
            heads.append(Head(order.label, self._query(order, down), how, order.number))
        return heads

    def _query(self, order: Order, down: bool) -> str:
        values = {key: value for key, value in self.picked.items() if value}
        if order.key != DEFAULT or not down:
            values |= {"sort": order.key, "way": "down" if down else "up"}
        return urlencode(values)


def choose(rows: list[Row], wanted: Mapping[str, str]) -> Choice:
    """The rows that match, sorted; unknown sort keys count as none. Cases without a value last."""
    picked = {key: wanted.get(key, "") for key, _ in FILTERS}
    for key in ("truth", "organ", "size_band", "generator"):
        if picked[key]:
            rows = [row for row in rows if row[key] == picked[key]]
    if picked["misled"]:
        rows = [row for row in rows if picked["misled"] in row["wrong_readers"]]
    order = next((o for o in ORDERS if o.key == wanted.get("sort")), None)
    down = (wanted.get("way") or (order.first if order else "down")) == "down"
    order = order or next(o for o in ORDERS if o.key == DEFAULT)
    known = [row for row in rows if order.value(row) is not None]
    unknown = [row for row in rows if order.value(row) is None]
    # By case first, so that equal ones stand in the same order whichever way it goes.
    known = sorted(sorted(known, key=lambda row: row["case"]), key=order.value, reverse=down)
    return Choice(picked, order, down, known + unknown)


def explorer_page(
    trial: Trial, snapshot: ResultsSnapshot, wanted: Mapping[str, str]
) -> dict[str, Any]:
    """The list of cases with its filters, and the map of readers by cases."""
    results = selectors.results_of(snapshot)
    rows = results["cases"]
    chosen = choose(rows, wanted)
    options = {key: sorted({row[key] for row in rows if row[key]}) for key, _ in FILTERS[:4]}
    options["misled"] = [reader["reader"] for reader in results["readers"]]
    return {
        "filters": [
            (key, label, options[key], chosen.picked[key])
            for key, label in FILTERS
            if len(options[key]) > 1
        ],
        "bands": len(options["size_band"]) > 1,
        "chosen": chosen,
        "rows": [
            {
                **row,
                "url": _review_url(trial, row["case"], chosen),
                "score": tables.share(row["mean_score"]),
            }
            for row in chosen.rows
        ],
        "total": len(rows),
        "positive": results["positive"],
        "named": NAMED,
        "map": reader_map(trial, results, chosen),
    }


def reader_map(trial: Trial, results: dict[str, Any], chosen: Choice) -> dict[str, Any]:
    """Readers by cases, as the page draws it.

    `ratings` holds a text per reader, a sign per case in the order of the list: 1 to 6, or a dot
    for a case that reader did not answer. Readers with the fewest wrong answers come first.
    """
    given = selectors.ratings_of(trial)
    names = [row["case"] for row in chosen.rows]
    wrong = {reader["reader"]: _errors(reader) for reader in results["readers"]}
    readers = sorted(wrong, key=lambda code: (wrong[code], code))
    humans, names_of = len(readers), titles(results)
    if names_of:
        given = given | machines.ratings_of(trial)
        readers += list(names_of)
    return {
        "readers": readers,
        "humans": humans,
        "titles": names_of,
        "cases": names,
        "truth": "".join("s" if row["truth"] == "synthetic" else "r" for row in chosen.rows),
        "facts": [_fact(row) for row in chosen.rows],
        "ratings": ["".join(given.get((code, name), ".") for name in names) for code in readers],
        "labels": [step["label"] for step in scale(protocol_of(trial))],
        "address": reverse("analysis:review", args=[trial.slug, 0]).replace("/0/", "/{n}/"),
        "query": chosen.query,
    }


def _errors(reader: Row) -> int:
    table = reader["table"]
    return int(table["fn"] + table["fp"])


def _fact(row: Row) -> str:
    size = "" if row["size_mm"] is None else f", {row['size_mm']:.1f} mm"
    return f"{row['truth']} {row['organ']} tumor{size}".replace("  ", " ")


# ------------------------------------------------------------------------------------- one case


def number_of(name: str) -> int:
    """C012 -> 12."""
    return int(name.lstrip("C"))


def review_config(
    trial: Trial, snapshot: ResultsSnapshot, case: Case, wanted: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that the viewer shows of one case to somebody who may know what it is.

    `case` carries its rendition and its truth. The steps to the case before and after follow the
    list that the reader of the page came from.
    """
    results, protocol = selectors.results_of(snapshot), protocol_of(trial)
    row = next(r for r in results["cases"] if r["case"] == str(case))
    chosen = choose(results["cases"], wanted)
    names = [r["case"] for r in chosen.rows]
    labels = [step["label"] for step in scale(protocol)]
    at = names.index(str(case)) if str(case) in names else None
    ahead = names[at + 1] if at is not None and at + 1 < len(names) else None
    before = names[at - 1] if at else None
    listed = reverse("analysis:cases", args=[trial.slug])
    return {
        "case": _images(case, window_list(protocol, case.organ)),
        "outline": lesion_outline(case.truth.candidate, case.rendition, possible_seeds(trial)),
        "name": f"Case {case}",
        "place": f"{at + 1} of {len(names)} in the list" if at is not None else "",
        "truth": case.truth.arm.capitalize(),
        "made": case.truth.arm == "synthetic",
        "facts": _facts(case, row),
        "summary": _summary(row),
        "ratings": [
            {
                "reader": answer.reader,
                "rating": answer.rating,
                "label": labels[answer.rating - 1],
                "wrong": answer.verdict != case.truth.arm,
                "repeat": answer.repeat,
                "seconds": answer.seconds,
                "note": ". ".join(filter(None, [", ".join(answer.cues), answer.comment])),
            }
            for answer in selectors.answers_to(case)
        ]
        + _machine_answers(case, results, labels),
        "scale": labels,
        "tools": {"mpr": True, "length": True, "hu": True},
        "rendering": protocol.rendering,
        "listUrl": f"{listed}?{chosen.query}" if chosen.query else listed,
        "previousUrl": _review_url(trial, before, chosen),
        "nextUrl": _review_url(trial, ahead, chosen),
    }


def _machine_answers(case: Case, results: dict[str, Any], labels: list[str]) -> list[Row]:
    """What the machines in these results said of the case, after the readers."""
    given, name = machines.ratings_of(case.trial), str(case)
    rated = [(title, int(given[key, name])) for key, title in titles(results).items()
             if (key, name) in given]  # fmt: skip
    return [
        {
            "reader": title,
            "rating": rating,
            "label": labels[rating - 1],
            "wrong": (rating > len(labels) // 2) != (case.truth.arm == "synthetic"),
            "repeat": False,
            "seconds": None,
            "note": "machine",
        }
        for title, rating in rated
    ]


def _review_url(trial: Trial, name: str | None, chosen: Choice) -> str:
    if name is None:
        return ""
    address = reverse("analysis:review", args=[trial.slug, number_of(name)])
    return f"{address}?{chosen.query}" if chosen.query else address


def _images(case: Case, windows: list[dict[str, Any]]) -> dict[str, Any]:
    """The same shape as a case of the reading page, with addresses of its own."""
    rendition = case.rendition
    first = reverse("analysis:review_frame", args=[case.trial.slug, case.number, 0])
    return {
        "token": str(case),
        "phase": case.phase,
        "position": 1,
        "total": 1,
        "organ": case.organ,
        "frames": {"count": rendition.frames, "url": first.removesuffix("0")},
        "image": {
            "rows": rendition.rows,
            "columns": rendition.columns,
            "pixelSpacing": rendition.spacing,
            "sliceSpacing": rendition.slice_spacing,
            "bitsAllocated": 16,
            "pixelRepresentation": 1,
            "padding": PADDING_HU,
        },
        "marker": {"box": rendition.marker},
        "startSlice": rendition.start_slice,
        "windows": windows,
        "draft": None,
    }


def _facts(case: Case, row: Row) -> list[tuple[str, str]]:
    facts = [("Organ", case.organ.capitalize())]
    if case.truth.arm == "synthetic":
        facts.append(("Generator", case.truth.generator))
    facts.append(("Diameter", f"{case.truth.diameter_mm:.1f} mm"))
    if case.size_band:
        facts.append(("Size band", case.size_band))
    if row["mean_score"] is not None:
        facts.append(("Mean score", f"{row['mean_score']:+.2f}".replace("-", "−")))
    return facts


def _summary(row: Row) -> str:
    """How many were misled, with the interval and its method."""
    if not row["n"]:
        return "Nobody answered this case."
    low, high = (round(100 * value) for value in row["wilson"])
    taken = "real" if row["truth"] == "synthetic" else "synthetic"
    share = round(100 * row["rate"])
    return (
        f"{row['wrong']} of {row['n']} readers took it for {taken}: {share}{NARROW}%, "
        f"95{NARROW}% interval {low} to {high}{NARROW}% (Wilson)."
    )
