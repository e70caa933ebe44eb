"""Tables of a results document: one definition for the page, the CSV and the bundle.

A cell holds the raw value; how it is rounded on the page belongs to the column, so a printed
number is always the exported one, rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import csvtext

Results = dict[str, Any]
MISSING = "–"


def count(value: Any) -> str:
    return MISSING if value is None else f"{value:g}"


def text(value: Any) -> str:
    return MISSING if value is None or value == "" else str(value)


def share(value: Any) -> str:
    """Three decimals with a true minus sign, which zero never has."""
    return MISSING if value is None else f"{value:z.3f}".replace("-", "−")


def seconds(value: Any) -> str:
    return MISSING if value is None else f"{value:.1f}"


def millimetres(value: Any) -> str:
    return MISSING if value is None else f"{value:.1f}"


def degrees(value: Any) -> str:
    """Degrees of freedom; none means the normal distribution."""
    return "∞" if value is None else f"{value:.1f}"


def p_value(value: Any) -> str:
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def bounds(value: Any) -> str:
    """An interval of a share, drawn within 0 and 1."""
    if value is None:
        return MISSING
    return f"{max(0.0, value[0]):.3f} to {min(1.0, value[1]):.3f}"


def open_bounds(value: Any) -> str:
    """An interval of a statistic without natural ends."""
    if value is None:
        return MISSING
    return f"{value[0]:z.3f} to {value[1]:z.3f}".replace("-", "−")


@dataclass(frozen=True)
class Column:
    """``key`` heads the column in the CSV, ``label`` on the page; intervals become two columns.

    ``under``: on the page the value stands in small print under the column before it.
    """

    key: str
    label: str
    show: Callable[[Any], str]
    under: bool = False

    @property
    def is_interval(self) -> bool:
        return self.show in (bounds, open_bounds)

    @property
    def is_number(self) -> bool:
        return self.show is not text


@dataclass
class Cell:
    """One cell of the page: the value and what stands under it."""

    text: str
    is_number: bool
    under: str = ""


@dataclass(frozen=True)
class Table:
    """One table: ``rows`` are raw values in the order of ``columns``."""

    name: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]

    def head(self) -> list[Cell]:
        """Headings of the page."""
        return self._cells([column.label for column in self.columns])

    def body(self) -> list[list[Cell]]:
        """Formatted rows of the page."""
        return [
            self._cells([c.show(value) for c, value in zip(self.columns, row, strict=True)])
            for row in self.rows
        ]

    def _cells(self, texts: list[str]) -> list[Cell]:
        cells: list[Cell] = []
        for column, shown in zip(self.columns, texts, strict=True):
            if column.under:
                cells[-1].under = shown
            else:
                cells.append(Cell(shown, column.is_number))
        return cells

    def csv(self) -> bytes:
        """All columns, unrounded."""
        header: list[str] = []
        for column in self.columns:
            header += (
                [f"{column.key}_low", f"{column.key}_high"] if column.is_interval else [column.key]
            )
        lines = []
        for row in self.rows:
            line: list[Any] = []
            for column, value in zip(self.columns, row, strict=True):
                line += (value or [None, None]) if column.is_interval else [value]
            lines.append(line)
        return csvtext.table(header, lines)


def all_tables(results: Results) -> dict[str, Table]:
    """Every table of a results document by name, in the order of the page."""
    made = (
        endpoints(results), detection(results), readers(results), pooled(results),
        fool_rate(results),
        subgroups(results), methods(results), cases(results),
    )  # fmt: skip
    return {table.name: table for table in made}


# ----------------------------------------------------------------------------------- the tables


def endpoints(results: Results) -> Table:
    """T4: every endpoint on the scale of shares, readers and cases random."""
    columns = (
        Column("endpoint", "Endpoint", text), Column("estimate", "Mean of readers", share),
        Column("ci95", "95 % interval", bounds), Column("se", "SE", share),
        Column("df", "df", degrees), Column("p_vs_guessing", "p against guessing", p_value),
        Column("ci90", "90 % interval", bounds),
        Column("p_equivalence", "p equivalence", p_value), Column("reason", "Remark", text),
    )  # fmt: skip
    rows = []
    for key in ("auc", "balanced_accuracy", "accuracy", "sensitivity", "specificity", "fool_rate"):
        endpoint = results["endpoints"][key]
        done = endpoint["rrrc"]
        tested = key in ("auc", "balanced_accuracy") or (key == "accuracy" and balanced(results))
        rows.append((
            _named(endpoint, key, results), done["estimate"], done["ci95"], done["se"], done["df"],
            done["p"] if tested else None, done["ci90"],
            done["tost"][0]["p"] if tested else None, done["reason"],
        ))  # fmt: skip
    return Table(
        "endpoints", "Endpoints",
        "Mean over readers; readers and cases are both samples (Obuchowski-Rockette, Hillis "
        "degrees of freedom). " + _positive(results) + " Sensitivity, specificity and fool rate "
        "have no single value under guessing, so they are not tested against it"
        + (
            "." if balanced(results)
            else "; nor is accuracy, as the classes differ in size and calling every tumor the "
            "same would beat 0.5."
        ),
        columns, tuple(rows),
    )  # fmt: skip


def detection(results: Results) -> Table:
    """Signal detection, readers and cases random."""
    columns = (
        Column("index", "Index", text), Column("estimate", "Mean of readers", share),
        Column("ci95", "95 % interval", open_bounds), Column("se", "SE", share),
        Column("df", "df", degrees), Column("p_vs_zero", "p against 0", p_value),
        Column("reason", "Remark", text),
    )  # fmt: skip
    positive, negative = results["positive"], results["negative"]
    names = {
        "dprime": "d′, ability to separate the classes (0 = guessing)",
        "criterion": f"c, leaning (above 0 towards “{negative}”, below towards “{positive}”)",
    }
    rows = []
    for key, name in names.items():
        done = results["endpoints"][key]["rrrc"]
        rows.append((
            name, done["estimate"], done["ci95"], done["se"], done["df"], done["p"], done["reason"],
        ))  # fmt: skip
    return Table(
        "detection", "Ability and leaning apart",
        f"{_positive(results)} Equal-variance signal detection with the log-linear correction; "
        "mean over readers, readers and cases random. A low sensitivity can come from low ability "
        "(d′) or from reluctance to call a tumor "
        f"{positive} (c above 0): these two rows tell which.",
        columns, tuple(rows),
    )  # fmt: skip


def readers(results: Results) -> Table:
    """T5: one row per reader."""
    columns = (
        Column("reader", "Reader", text), Column("experience_years", "Years", count),
        Column("tp", "TP", count), Column("fn", "FN", count), Column("fp", "FP", count),
        Column("tn", "TN", count), Column("accuracy", "Accuracy", share),
        Column("accuracy_wilson", "95 % (Wilson)", bounds, under=True),
        Column("p_accuracy", "p against 0.5", p_value),
        Column("p_accuracy_holm", "Holm", p_value, under=True),
        Column("sensitivity", "Sensitivity", share),
        Column("sensitivity_wilson", "95 % (Wilson)", bounds, under=True),
        Column("specificity", "Specificity", share),
        Column("specificity_wilson", "95 % (Wilson)", bounds, under=True),
        Column("auc", "AUC", share), Column("auc_delong", "95 % (DeLong)", bounds, under=True),
        Column("dprime", "d′", share), Column("criterion", "c", share),
        Column("median_response_s", "Median time, s", seconds),
    )  # fmt: skip
    rows = tuple(
        (
            r["reader"], r["experience_years"], r["table"]["tp"], r["table"]["fn"],
            r["table"]["fp"], r["table"]["tn"], r["accuracy"]["estimate"], r["accuracy"]["ci"],
            r["p_accuracy"], r["p_accuracy_holm"], r["sensitivity"]["estimate"],
            r["sensitivity"]["ci"], r["specificity"]["estimate"], r["specificity"]["ci"],
            r["auc"]["estimate"], r["auc"]["ci"], r["sdt"]["dprime"], r["sdt"]["criterion"],
            r["median_response_s"],
        )
        for r in results["readers"]
    )  # fmt: skip
    positive, negative = results["positive"], results["negative"]
    return Table(
        "readers", "Each reader",
        f"{_positive(results)} TP: {positive} called {positive}; FN: {positive} called "
        f"{negative}; FP: {negative} called {positive}; TN: {negative} called {negative}. "
        f"c above 0: the reader leans towards “{negative}”. p: exact binomial test of accuracy, "
        "and the same adjusted over readers (Holm). d′ and c with the log-linear correction.",
        columns, rows,
    )  # fmt: skip


def pooled(results: Results) -> Table:
    """T6: all readings thrown together."""
    columns = (
        Column("rate", "Rate", text), Column("x", "Readings", count), Column("n", "of", count),
        Column("estimate", "Share", share),
        Column("naive_wilson", "Naive 95 % (Wilson)", bounds),
        Column("naive_clopper_pearson", "Naive 95 % (Clopper-Pearson)", bounds),
    )  # fmt: skip
    rows = tuple(
        (
            _rate_name(key, results), rate["wilson"]["x"], rate["wilson"]["n"],
            rate["wilson"]["estimate"], rate["wilson"]["ci"], rate["clopper_pearson"]["ci"],
        )
        for key, rate in results["pooled"]["rates"].items()
    )  # fmt: skip
    return Table(
        "pooled", "All readings pooled",
        f"{_positive(results)} Naive: these intervals take every reading for independent, "
        "although readings share readers and cases; they are about half as wide as they should "
        "be. Shown for comparison with papers that report them. PPV and NPV hold for this mix of "
        f"{results['data']['n_positive']} {results['positive']} and "
        f"{results['data']['n_negative']} {results['negative']} cases only.",
        columns, rows,
    )  # fmt: skip


def fool_rate(results: Results) -> Table:
    """T13: synthetic tumors called real by group."""
    columns = (
        Column("by", "By", text), Column("group", "Group", text),
        Column("n_cases", "Cases", count), Column("fooled", "Called real", count),
        Column("n_readings", "of readings", count), Column("rate", "Fool rate", share),
        Column("ci95", "95 % interval", bounds),
        Column("naive_wilson", "Naive 95 % (Wilson)", bounds), Column("reason", "Remark", text),
    )  # fmt: skip
    own = results["fool_rate"]
    families = [
        ("", [own["overall"]]), ("organ", own["by_organ"]), ("size", own["by_size"]),
        ("generator", own["by_generator"]),
    ]  # fmt: skip
    rows = [
        (
            family or "all",
            "all" if not family else g["group"],
            g["n_cases"],
            g["fooled"],
            g["n_readings"],
            g["naive"]["estimate"],
            g["mrmc"]["ci95"],
            g["naive"]["ci"],
            g["mrmc"]["reason"],
        )
        for family, groups in families
        for g in groups
    ]
    return Table(
        "fool_rate", "Synthetic tumors called real",
        "Fool rate: share of readings of synthetic tumors with the verdict real. Interval: "
        "readers and cases random. A tumor that cannot be told from a real one is called real as "
        "often as a real one is, not necessarily half the time.",
        columns, tuple(rows),
    )  # fmt: skip


def subgroups(results: Results) -> Table:
    """T8: the primary endpoint by organ and size."""
    label = results["primary"]["label"]
    columns = (
        Column("by", "By", text), Column("group", "Group", text),
        Column("n_positive", f"{_capital(results['positive'])} cases", count),
        Column("n_negative", f"{_capital(results['negative'])} cases", count),
        Column("estimate", _capital(label), share), Column("ci95", "95 % interval", bounds),
        Column("p", "p against 0.5", p_value), Column("p_holm", "p, Holm", p_value),
        Column("sensitivity", "Sensitivity", share), Column("specificity", "Specificity", share),
        Column("reason", "Remark", text),
    )  # fmt: skip
    rows = [
        (
            family,
            g["group"],
            g["n_positive"],
            g["n_negative"],
            g["result"]["estimate"],
            g["result"]["ci95"],
            g["result"]["p"],
            g["p_holm"],
            g["sensitivity"],
            g["specificity"],
            g["result"]["reason"],
        )
        for family, groups in results["subgroups"].items()
        for g in groups
    ]
    return Table(
        "subgroups", "By organ and size",
        f"{_positive(results)} Readers and cases random; Holm within organs and within sizes. "
        "Secondary: a difference between groups is a hint, not a finding.",
        columns, tuple(rows),
    )  # fmt: skip


def methods(results: Results) -> Table:
    """The primary endpoint by other routes."""
    columns = (
        Column("method", "Method", text), Column("generalizes_to", "Speaks about", text),
        Column("estimate", "Estimate", share), Column("ci95", "95 % interval", bounds),
        Column("se", "SE", share), Column("df", "df", degrees),
        Column("p", "p against 0.5", p_value), Column("reason", "Remark", text),
    )  # fmt: skip
    rows = tuple(
        (m["name"], m["generalizes_to"], m["result"]["estimate"], m["result"]["ci95"],
         m["result"]["se"], m["result"]["df"], m["result"]["p"], m["result"]["reason"])
        for m in results["methods"]
    )  # fmt: skip
    return Table(
        "methods", f"The primary endpoint ({results['primary']['label']}) by other methods",
        f"{_positive(results)} If these disagree, the answer hangs on the method.",
        columns, rows,
    )  # fmt: skip


def cases(results: Results) -> Table:
    """Every case: which readers it misled."""
    columns = (
        Column("case", "Case", text), Column("truth", "Truth", text),
        Column("organ", "Organ", text), Column("size_mm", "Size, mm", millimetres),
        Column("size_band", "Size band", text),
        Column("generator", "Generator", text), Column("wrong", "Wrong", count),
        Column("n", "of", count), Column("rate", "Share wrong", share),
        Column("wilson", "95 % (Wilson)", bounds), Column("shrunken", "Shrunken", share),
        Column("mean_score", "Mean score", share), Column("wrong_readers", "Misled", text),
    )  # fmt: skip
    rows = tuple(
        (
            c["case"], c["truth"], c["organ"], c["size_mm"], c["size_band"], c["generator"],
            c["wrong"], c["n"], c["rate"], c["wilson"], c["shrunken"], c["mean_score"],
            " ".join(c["wrong_readers"]),
        )
        for c in results["cases"]
    )  # fmt: skip
    return Table(
        "cases", "Cases",
        "Hardest first. Wrong: readers whose verdict differs from the truth. Shrunken: the share "
        "pulled towards the mean of its arm by what chance alone explains. Mean score: positive "
        f"leans “{results['positive']}”.",
        columns, rows,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------- words


def balanced(results: Results) -> bool:
    """Whether both classes have as many cases, so that guessing gives an accuracy of 0.5."""
    same: bool = results["data"]["n_positive"] == results["data"]["n_negative"]
    return same


def _positive(results: Results) -> str:
    return f"Positive class: {results['positive']}."


def _capital(value: str) -> str:
    return value[:1].upper() + value[1:]


def _named(endpoint: dict[str, Any], key: str, results: Results) -> str:
    positive, negative = results["positive"], results["negative"]
    meaning = {
        "sensitivity": f" ({positive} called {positive})",
        "specificity": f" ({negative} called {negative})",
        "fool_rate": " (synthetic called real)",
        "auc": " (of the confidence ratings)",
        "balanced_accuracy": " (AUC of the verdicts)",
    }
    return _capital(endpoint["label"]) + meaning.get(key, "")


def _rate_name(key: str, results: Results) -> str:
    positive, negative = results["positive"], results["negative"]
    return {
        "sensitivity": f"Sensitivity ({positive} called {positive})",
        "specificity": f"Specificity ({negative} called {negative})",
        "accuracy": "Accuracy",
        "ppv": f"PPV (called {positive} and is)",
        "npv": f"NPV (called {negative} and is)",
        "fool_rate": "Fool rate (synthetic called real)",
        "said_positive": f"Said “{positive}”",
    }[key]
