"""The primary answer as one plain sentence."""

from __future__ import annotations

from readerstudy.analysis.stats.inference import Inference, Verdict
from readerstudy.analysis.stats.multi import GlobalTest


def number(value: float, digits: int = 3) -> str:
    """Fixed decimals, plain ASCII."""
    return f"{value:.{digits}f}"


def p_text(p: float) -> str:
    """``p = 0.012``, ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def sentence(label: str, result: Inference, verdict: Verdict, positive: str, negative: str) -> str:
    """Say what the trial shows about telling ``positive`` from ``negative`` tumors."""
    if result.estimate is None:
        return f"No answer: the {label} cannot be computed ({result.reason})."
    if verdict.code == "undefined" or result.ci95 is None or result.ci90 is None:
        return (
            f"No answer: the {label} was {number(result.estimate)}, but its uncertainty cannot be "
            f"computed ({result.reason})."
        )
    low, high = result.null - verdict.margin, result.null + verdict.margin
    pair = f"{positive} from {negative} tumors"
    scope = f"{label} {number(result.estimate)}, 95 % interval {_range(result.ci95)}"
    zone = f"the equivalence range {number(low, 2)} to {number(high, 2)}"
    ninety = f"90 % interval {_range(result.ci90)}"
    if verdict.code == "equivalent":
        return (
            f"Readers could not tell {pair} to any degree that matters: {scope}; the {ninety} "
            f"lies inside {zone}."
        )
    if verdict.code == "different_within_margin":
        direction = "better" if verdict.above_null else "worse"
        return (
            f"Readers did slightly {direction} than guessing at telling {pair}, by less than the "
            f"margin: {scope}; the {ninety} lies inside {zone}."
        )
    if verdict.code == "different":
        if verdict.above_null:
            beyond = result.ci90[0] > high
            where = "lies wholly above" if beyond else "reaches above"
            return (
                f"Readers told {pair} better than by guessing: {scope}; the {ninety} {where} "
                f"{zone}."
            )
        return (
            f"Readers separated {pair} but with the labels exchanged, worse than guessing: "
            f"{scope}; they react to a true difference between the arms."
        )
    return (
        f"The trial cannot decide whether readers tell {pair}: {scope} includes guessing "
        f"({number(result.null, 2)}), and the {ninety} reaches outside {zone}. More readers or "
        "cases are needed."
    )


def _range(interval: tuple[float, float]) -> str:
    """An interval of a share, drawn within 0 and 1 as tables and figures draw it."""
    return f"{number(max(0.0, interval[0]))} to {number(min(1.0, interval[1]))}"


def difference_sentence(first: str, second: str, result: Inference, verdict: Verdict) -> str:
    """Say what the study shows about the AUC of two modalities."""
    pair = f"modalities {first} and {second}"
    if result.estimate is None or result.ci95 is None or result.ci90 is None:
        return f"No answer: the AUC of {pair} cannot be compared ({result.reason})."
    scope = (
        f"difference in AUC ({first} minus {second}) {_signed(result.estimate)}, 95 % interval "
        f"{_signed(result.ci95[0])} to {_signed(result.ci95[1])}"
    )
    ninety = f"90 % interval {_signed(result.ci90[0])} to {_signed(result.ci90[1])}"
    zone = f"the equivalence range ±{verdict.margin:g}"
    return {
        "equivalent": f"The AUC of {pair} is equivalent: {scope}; the {ninety} lies inside {zone}.",
        "different_within_margin": (
            f"The AUC of {pair} differs, by less than the margin: {scope}; the {ninety} lies "
            f"inside {zone}."
        ),
        "different": f"The AUC of {pair} differs: {scope}.",
    }.get(
        verdict.code,
        f"The study cannot decide whether the AUC of {pair} differs: {scope}; the {ninety} "
        f"reaches outside {zone}.",
    )


def global_sentence(names: tuple[str, ...], test: GlobalTest) -> str:
    """Say whether more than two modalities differ at all."""
    listed = f"{len(names)} modalities ({', '.join(names)})"
    if test.p is None or test.statistic is None:
        return f"No answer: the AUC of the {listed} cannot be compared ({test.reason})."
    freedom = f"{test.df1}" + ("" if test.df2 is None else f", {test.df2:.1f}")
    numbers = f"{test.distribution}({freedom}) = {test.statistic:.2f}, {p_text(test.p)}"
    if test.p < 0.05:
        return f"The AUC differs between the {listed}: {numbers}."
    return f"The study does not show that the AUC differs between the {listed}: {numbers}."


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
