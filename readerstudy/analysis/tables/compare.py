"""Generators or modalities compared, and what the trial could show."""

from __future__ import annotations

from typing import Any

from .cells import (
    Column,
    Results,
    Table,
    bounds,
    capital,
    count,
    degrees,
    df_of,
    open_bounds,
    p_value,
    positive_note,
    share,
    text,
)


def components(results: Results) -> Table:
    """T4: variance components of every endpoint."""
    columns = (
        Column("endpoint", "Endpoint", text),
        Column("ms_r", "MS(R), between readers", _small),
        Column("var_error", "Var, error of one reader", _small),
        Column("cov2", "Cov2, shared by readers", _small),
        Column("n_units", "Units left out", count), Column("covariance", "Covariance", text),
    )  # fmt: skip
    rows = tuple(
        (_title(e["label"]), e["ms_r"], e["var_error"], e["cov2"], e["n_units"], e["covariance"])
        for e in _endpoints(results)
    )
    return Table(
        "components", "Variance components",
        "Components of the Obuchowski-Rockette model: enough to plan the next study. A negative "
        "Cov2 enters the formulas as zero.",
        columns, rows, "endpoints.*",
    )  # fmt: skip


def _endpoints(results: Results) -> list[dict[str, Any]]:
    if "endpoints" in results:
        return list(results["endpoints"].values())
    return [
        {**c["endpoint"], "label": f"{c['endpoint']['label']}, {c['name']}"}
        for c in results["conditions"]
    ]


def _title(label: str) -> str:
    """With a capital, where the first letter is not a symbol."""
    return label.replace("d'", "d′") if label.startswith("d'") else capital(label)


def _small(value: Any) -> str:
    """Five decimals with a true minus sign."""
    return "–" if value is None else f"{value:z.5f}".replace("-", "−")


def comparison(results: Results) -> Table:
    """T7: pairs of generators or modalities."""
    own, word = _compared(results)
    test = own["rrrc"]["test"]
    columns = (
        Column("first", capital(word), text), Column("second", "Minus", text),
        Column("estimate", "Difference", share), Column("ci95", "95 % interval", open_bounds),
        Column("se", "SE", share), Column("df", "df", degrees), Column("p", "p", p_value),
        Column("p_holm", "p, Holm", p_value), Column("ci90", "90 % interval", open_bounds),
        Column("p_equivalence", "p equivalence", p_value), Column("reason", "Remark", text),
    )  # fmt: skip
    rows = tuple(
        (
            d["first"], d["second"], d["result"]["estimate"], d["result"]["ci95"],
            d["result"]["se"], df_of(d["result"]), d["result"]["p"], d["p_holm"],
            d["result"]["ci90"], d["result"]["tost"][0]["p"] if d["result"]["tost"] else None,
            d["result"]["reason"],
        )
        for d in own["rrrc"]["differences"]
    )  # fmt: skip
    return Table(
        "comparison", _COMPARED[word],
        f"{positive_note(results)} Difference in {own['label']}; readers and cases random. "
        f"Global test: {global_test(test)}. Equivalence within ±{results['plan']['margin']:g}.",
        columns, rows, "comparison.rrrc" if "comparison" in results else "generators.rrrc",
    )  # fmt: skip


_COMPARED = {"modality": "Modalities compared", "generator": "Generators compared"}


def global_test(test: dict[str, Any]) -> str:
    """The global test in one line."""
    if test["p"] is None:
        return f"not estimable ({test['reason']})"
    freedom = f"{test['df1']}" + ("" if test["df2"] is None else f", {test['df2']:.1f}")
    p = "p < 0.001" if test["p"] < 0.001 else f"p = {test['p']:.3f}"
    return f"{test['distribution']}({freedom}) = {test['statistic']:.2f}, {p}"


def means(results: Results) -> Table:
    """T7, or T4 of a study of modalities: the mean of each."""
    own, word = _compared(results)
    columns = (
        Column("name", capital(word), text), Column("estimate", capital(own["label"]), share),
        Column("ci95", "95 % interval", bounds), Column("se", "SE", share),
        Column("df", "df", degrees), Column("p", "p against 0.5", p_value),
        Column("reason", "Remark", text),
    )  # fmt: skip
    rows = tuple(
        (
            m["condition"], m["result"]["estimate"], m["result"]["ci95"], m["result"]["se"],
            df_of(m["result"]), m["result"]["p"], m["result"]["reason"],
        )
        for m in own["rrrc"]["means"]
    )  # fmt: skip
    return Table(
        "means", f"Each {word}",
        f"{positive_note(results)} Mean of readers; readers and cases random.",
        columns, rows, "comparison.rrrc.means" if "comparison" in results else
        "generators.rrrc.means",
    )  # fmt: skip


def _compared(results: Results) -> tuple[dict[str, Any], str]:
    if results["layout"] == "mrmc":
        return results["comparison"], "modality"
    return results["generators"], "generator"


def precision(results: Results) -> Table:
    """T15: what this design, and larger ones, can show."""
    columns = (
        Column("n_readers", "Readers", count), Column("n_cases", "Cases", count),
        Column("readings", "Readings", count), Column("se", "SE", share),
        Column("half_width95", "Half of the 95 % interval", share),
        Column("power_difference", "Power, true value 0.60", share),
        Column("power_tost", "Power, equivalence", share), Column("reason", "Remark", text),
    )  # fmt: skip
    own = results["precision"]
    rows = tuple(
        (
            d["n_readers"], d["n_cases"], d["readings"], d["se"], d["half_width95"],
            d["power_difference"], d["power_tost"], d["reason"],
        )
        for d in own["designs"]
    )  # fmt: skip
    return Table(
        "precision", "Precision of this design and of larger ones",
        "From the variance components of this study, for the same readers and mix of classes. "
        "Power, true value 0.60: chance to find a difference from guessing when there is one of "
        "0.10. Power, equivalence: chance to show equivalence within "
        f"±{results['plan']['margin']:g} when readers truly guess. Components from one study are "
        "uncertain themselves.",
        columns, rows, "precision.designs",
    )  # fmt: skip


def condition_readers(results: Results) -> Table:
    """T5 of a study of modalities."""
    columns = (
        Column("modality", "Modality", text), Column("reader", "Reader", text),
        Column("n_positive", f"{capital(results['positive'])} cases", count),
        Column("n_negative", f"{capital(results['negative'])} cases", count),
        Column("auc", "AUC", share), Column("auc_delong", "95 % (DeLong)", bounds),
        Column("reason", "Remark", text),
    )  # fmt: skip
    rows = tuple(
        (
            c["name"], r["reader"], r["n_positive"], r["n_negative"], r["auc"]["estimate"],
            r["auc"]["ci"], r["auc"]["reason"],
        )
        for c in results["conditions"]
        for r in c["readers"]
    )  # fmt: skip
    return Table(
        "condition_readers", "Each reader",
        f"{positive_note(results)} Each reader's interval speaks about that reader only.",
        columns, rows, "conditions.*.readers",
    )  # fmt: skip


def condition_methods(results: Results) -> Table:
    """T6 of a study of modalities."""
    columns = (
        Column("modality", "Modality", text), Column("method", "Method", text),
        Column("generalizes_to", "Speaks about", text), Column("estimate", "AUC", share),
        Column("ci95", "95 % interval", bounds), Column("se", "SE", share),
        Column("df", "df", degrees),
        Column("p", "p against 0.5", p_value), Column("reason", "Remark", text),
    )  # fmt: skip
    rows = tuple(
        (
            c["name"], m["name"], m["generalizes_to"], m["result"]["estimate"],
            m["result"]["ci95"], m["result"]["se"], df_of(m["result"]), m["result"]["p"],
            m["result"]["reason"],
        )
        for c in results["conditions"]
        for m in c["methods"]
    )  # fmt: skip
    return Table(
        "condition_methods", "Each modality by several methods",
        f"{positive_note(results)} If these disagree, the answer hangs on the method.",
        columns, rows, "conditions.*.methods",
    )  # fmt: skip
