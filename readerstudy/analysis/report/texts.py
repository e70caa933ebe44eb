"""Methods and Results in sentences, filled from the numbers. One function per paragraph."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any

from readerstudy.analysis.tables import balanced
from readerstudy.analysis.tables.machines import titles

from .inline import Results, lookup

COVARIANCE = {
    "jackknife": "the jackknife",
    "delong": "DeLong's method (DeLong 1988)",
    "unbiased": "unbiased U-statistics (Gallas 2009)",
}
MEANING = {
    "equivalent": "The whole 90 % interval lies within the margin set around guessing. This is a "
    "positive finding of equivalence, not a mere failure to find a difference.",
    "different": "The 95 % interval leaves guessing out, and readers may differ from it by more "
    "than the margin.",
    "different_within_margin": "Readers are not exactly at guessing, but the whole 90 % interval "
    "lies within the margin that was set.",
    "inconclusive": "The data fit guessing, and they also fit an ability beyond the margin. This "
    "is not evidence that readers cannot tell: the study was too small to say.",
    "undefined": "The readings do not allow the uncertainty to be computed; the reason stands "
    "beside the estimate.",
}
MEANING_PAIR = {
    "equivalent": "The whole 90 % interval of the difference lies within the margin.",
    "different": "The 95 % interval of the difference leaves zero out.",
    "different_within_margin": "The modalities differ, by less than the margin.",
    "inconclusive": "The data fit equality, and they also fit a difference beyond the margin.",
    "undefined": "The readings do not allow the modalities to be compared.",
}
BEYOND = (
    "The 95 % interval leaves guessing out, and the whole 90 % interval lies beyond the margin: "
    "the difference is larger than what was held too small to matter."
)
SHORT = {
    "equivalent": "Equivalent to guessing",
    "different": "Readers can tell",
    "different_within_margin": "A difference too small to matter",
    "inconclusive": "Undecided",
    "undefined": "No answer",
}
SHORT_PAIR = {**SHORT, "equivalent": "Equivalent", "different": "The modalities differ"}


def beyond_margin(primary: dict[str, Any]) -> bool:
    """Does the whole 90 % interval lie on one side of the equivalence range?"""
    low, high = primary["result"]["ci90"] or (-inf, inf)
    null, margin = primary["result"]["null"], primary["margin"]
    return bool(low > null + margin or high < null - margin)


def answer(results: Results) -> tuple[str, str]:
    """(short answer, what it means)."""
    primary = results["primary"]
    verdict = primary["verdict"]
    if primary.get("question", "guessing") != "guessing":
        return SHORT_PAIR[verdict["code"]], MEANING_PAIR[verdict["code"]]
    if verdict["code"] == "different" and not verdict["above_null"]:
        return "Readers can tell, but the wrong way round", (
            "Readers separate the classes with the labels exchanged: they react to a true "
            "difference."
        )
    if verdict["code"] == "different" and beyond_margin(primary):
        return SHORT["different"], BEYOND
    return SHORT[verdict["code"]], MEANING[verdict["code"]]


def methods(results: Results) -> Iterator[str]:
    """The Methods paragraphs."""
    yield _design(results)
    yield _primary(results)
    if results["layout"] == "vtt":
        yield _secondary(results)
    if results.get("machines"):
        yield _machine_methods(results)
    yield (
        "p values are two-sided except those of equivalence, which come from two one-sided tests; "
        "the level is 0.05, and no value was imputed. Numbers were computed with readerstudy, "
        "engine {engine|text}, seed {plan.seed|text} for every resampling; {@S-numbers} lists "
        "where each number of this text stands in results.json."
    )


def _design(results: Results) -> str:
    positive, negative = results["positive"], results["negative"]
    blinded = " without knowing which was which" if results.get("trial") else ""
    text = (
        f"Readers judged {positive} and {negative} cases ({{data.n_positive|n}} and "
        f"{{data.n_negative|n}}){blinded}. "
    )
    if results["layout"] == "mrmc":
        if results["data"]["n_modalities"] > 1:
            text += "Each of {data.n_modalities|n} modalities was rated by the same readers. "
        return text + (
            f"A higher rating means more belief in {positive}. The table held ratings without "
            "verdicts, so that the area under the ROC curve (AUC) of each reader is the only "
            "endpoint. Ties count one half."
        )
    levels = results["data"]["score_levels"]
    scale = f"a scale of {len(levels)} steps" if len(levels) <= 20 else "a fine scale"
    if len(levels) == 1:
        scale = "a scale, of which readers used one step,"
    return text + (
        f"Each verdict came with a confidence; verdict and confidence together form a rating on "
        f"{scale} that grows with belief in {positive}, the positive class. Sensitivity is the "
        f"share of {positive} cases called {positive}, specificity the share of {negative} cases "
        f"called {negative}. The analysis set holds the first reading of each reader and case; "
        "repeats enter the agreement of a reader with herself and nothing else."
    )


def _primary(results: Results) -> str:
    plan = results["plan"]
    several = results["primary"].get("question", "guessing") != "guessing"
    metric = "AUC of the ratings"
    if plan["primary"] == "balanced_accuracy":
        metric = "balanced accuracy of the verdicts"
    unit = results["data"]["unit"]
    text = (
        f"The primary endpoint is the {metric}, averaged over readers. Its interval takes readers "
        "and cases for samples of their populations (Obuchowski-Rockette model with Hillis' "
        "degrees of freedom; Obuchowski 1995, Hillis 2007); the error covariance comes from "
        f"{COVARIANCE[plan['covariance']]}"
    )
    if plan["covariance"] == "jackknife":
        text += f" over {unit}s"
    text += ". "
    if several:
        text += (
            "The modalities are compared by the F test of the same model, pairs with Holm's "
            "adjustment (Holm 1979). "
        )
        margin = "zero"
    else:
        margin = "0.5, the value under guessing"
    text += (
        f"It is tested for a difference from {margin}, and for equivalence within "
        f"±{{plan.margin|g}} by two one-sided tests at 5 % (Schuirmann 1987). "
    )
    return text + (
        "Other routes to the same number (other covariances, the iMRMC U-statistic, a bootstrap "
        "of readers and cases with {plan.replicates|n} replicates) are shown beside it."
    )


def _secondary(results: Results) -> str:
    text = (
        "Each reader's own rates have Wilson intervals (Wilson 1927), areas DeLong's; p values "
        "of readers and of subgroups are adjusted by Holm's method within their family. d′ and "
        "the criterion c carry the log-linear correction for every reader (Hautus 1995). "
        "Agreement is given as Fleiss' kappa, Gwet's AC1 (Gwet 2008) and Krippendorff's alpha. "
        "Subgroups with fewer than {plan.min_cases|n} cases of a class or {plan.min_readers|n} "
        "readers are not tested. All of these are secondary"
    )
    if not balanced(results):
        text += (
            "; as the classes differ in size, accuracy is not tested against 0.5, which calling "
            "every case the same would beat"
        )
    return text + "."


def _machine_methods(results: Results) -> str:
    """How machines read, and what each was trained on."""
    count = len(results["machines"])
    text = (
        f"{count} {'machine' if count == 1 else 'machines'} rated the same cases; readers and "
        "machines enter separate analyses, so that no number about the readers depends on a "
        "machine. "
    )
    if results.get("machine_cards"):
        text += (
            "Each was given what a reader is given: the sent images around the marker, and the "
            "marker. "
        )
        for card in results["machine_cards"]:
            text += f"{card['title']}: {card['learned_from']} "
    return text + (
        "A machine is compared with the mean of the readers, on the cases it rated, as one fixed "
        "rater against samples of readers and cases (Obuchowski-Rockette on machine minus reader, "
        "Hillis' degrees of freedom; Hillis 2007), with Holm's adjustment over the machines for "
        "the primary endpoint."
    )


def machines(results: Results) -> Iterator[str]:
    """Machine against readers in the primary endpoint, one sentence a machine."""
    primary, names = results["plan"]["primary"], titles(results)
    for i, own in enumerate(results["machines"]):
        at = next(k for k, one in enumerate(own["versus"]) if one["metric"] == primary)
        path = f"machines.{i}.versus.{at}"
        one = own["versus"][at]
        text = (
            f"{names[own['name']]}: {one['label']} {{{path}.machine|share}}, readers "
            f"{{{path}.readers_mean.estimate|share}} on the same {{machines.{i}.n_cases|n}} cases"
        )
        if one["difference"]["ci95"] is None:
            reason = one["difference"]["reason"] or one["reason"]
            yield f"{text}; the difference has no interval: {reason} ({{@T18}})."
            continue
        yield (
            f"{text}, difference {{{path}.difference.estimate|two}} "
            f"({{{path}.difference.ci95|open}}; {{{path}.difference.p|p}}, adjusted "
            f"{{machines.{i}.p_holm|p}}; {{@T18}})."
        )


def results_text(results: Results) -> Iterator[str]:
    """The Results sentences of the primary endpoint and of the rates."""
    if results["layout"] == "mrmc":
        yield from _modalities(results)
        return
    key = results["plan"]["primary"]
    path = f"endpoints.{key}.rrrc"
    data = results["data"]
    gaps = (
        "; {data.n_missing|n} of {data.n_possible|n} possible readings are missing"
        if data["n_missing"] else ", without gaps"
    )  # fmt: skip
    readers = "{data.n_readers|n} reader" + ("" if data["n_readers"] == 1 else "s")
    text = (
        f"{readers} read {{data.n_cases|n}} cases in {{data.n_readings|n}} first readings{gaps} "
        f"({{@T3}}). The mean {results['endpoints'][key]['label']} was {{{path}.estimate|share}} "
    )
    if results["endpoints"][key]["n_readers"] < data["n_readers"]:
        text += (
            f"in the {{endpoints.{key}.n_readers|n}} readers who answered cases of both classes "
        )
    if results["endpoints"][key]["rrrc"]["ci95"] is None:
        text += f"({{@T4}}); its uncertainty cannot be computed: {{{path}.reason|text}}."
    else:
        text += (
            f"(95 % interval {{{path}.ci95|range}}; df {{{path}.df|df}}; {{{path}.p|p}} against "
            f"guessing; 90 % interval {{{path}.ci90|range}}; equivalence within "
            f"±{{primary.margin|g}}: {{{path}.tost.0.p|p}}; {{@T4}}, {{@F5}})."
        )
    yield text
    positive, negative = results["positive"], results["negative"]
    yield (
        f"Mean sensitivity for {positive} was {_with_interval(results, 'sensitivity', 'percent')}, "
        f"specificity {_with_interval(results, 'specificity', 'percent')} and accuracy "
        f"{_with_interval(results, 'accuracy', 'percent')}. Synthetic tumors were called real in "
        f"{_with_interval(results, 'fool_rate', 'percent')} of readings. The ability d′ was "
        f"{_with_interval(results, 'dprime', 'two')} and the leaning c "
        f"{_with_interval(results, 'criterion', 'two')}; above 0 readers lean towards "
        f"“{negative}”."
    )
    yield from _beside(results)


def _with_interval(results: Results, key: str, form: str) -> str:
    """Template of an endpoint with its 95 % interval, where there is one."""
    path = f"endpoints.{key}.rrrc"
    text = f"{{{path}.estimate|{form}}}"
    if results["endpoints"][key]["rrrc"]["ci95"] is None:
        return text
    return f"{text} ({{{path}.ci95|{'percents' if form == 'percent' else 'open'}}})"


def _beside(results: Results) -> Iterator[str]:
    group = results["agreement"]["groups"]["all"]
    # Fleiss' kappa looks only at cases that everybody read; alpha is made for gaps.
    gaps = results["data"]["n_missing"] > 0
    key, name = ("krippendorff", "Krippendorff's alpha") if gaps else ("fleiss", "Fleiss' kappa")
    if group[key]["estimate"] is not None:
        path = f"agreement.groups.all.{key}"
        text = (
            f"Readers agreed with each other at a {name} of {{{path}.estimate|two}} "
            f"({{{path}.ci95|open}}; {{@T9}})"
        )
        again = results["intra_reader"]
        if again and again["pooled"]["agreement"]["estimate"] is not None:
            text += (
                ", and with themselves in "
                "{intra_reader.pooled.agreement.estimate|percent} of {intra_reader.pooled.n|n} "
                "repeated readings ({@T10})"
            )
        yield text + "."
    halves = results["order"]["halves"] if results["order"] else None
    if halves and halves["estimate"] is not None and halves["p"] is not None:
        yield (
            "From the first to the second half of reading, accuracy changed by "
            "{order.halves.estimate|share} ({order.halves.ci95|open}; {order.halves.p|p}; {@F6})."
        )
    if results["generators"]:
        yield from _compared(results, "generators", "generators")
    organ = results["heterogeneity"]["organ"]
    if organ and organ["test"] and organ["test"]["p"] is not None:
        yield (
            f"The test for a difference in {organ['label']} between organs gave "
            "{heterogeneity.organ.test.p|p} ({@T8})."
        )


def _modalities(results: Results) -> Iterator[str]:
    parts = []
    for i, condition in enumerate(results["conditions"]):
        path = f"conditions.{i}.endpoint.rrrc"
        name = condition["name"]
        parts.append(
            f"{{{path}.estimate|share}} ({{{path}.ci95|range}})"
            + (f" in modality {name}" if len(results["conditions"]) > 1 else "")
        )
    yield (
        "{data.n_readers|n} readers gave {data.n_readings|n} ratings of {data.n_cases|n} cases "
        f"({{@T3}}). The mean AUC was {', '.join(parts)} ({{@T4}})."
    )
    if results["comparison"]:
        yield from _compared(results, "comparison", "modalities")


def _compared(results: Results, key: str, word: str) -> Iterator[str]:
    """What the comparison of ``word`` (generators or modalities) at ``key`` found."""
    own = results[key]["rrrc"]
    if len(own["differences"]) == 1:
        yield _difference(results, f"{key}.rrrc.differences.0", word)
        return
    test = own["test"]
    if test["p"] is None:
        yield f"The {word} could not be compared: {test['reason']} ({{@T7}})."
        return
    df2 = "" if test["df2"] is None else f", {{{key}.rrrc.test.df2|df}}"
    yield (
        f"The {word} were compared at once with "
        f"{test['distribution']}({{{key}.rrrc.test.df1|n}}{df2}) = "
        f"{{{key}.rrrc.test.statistic|two}}, {{{key}.rrrc.test.p|p}} ({{@T7}}). "
        + _apart(results, key, word)
    )


def _difference(results: Results, path: str, word: str) -> str:
    """The one difference of two generators or modalities, with its interval and both tests."""
    pair = lookup(results, path)
    label = results["generators" if word == "generators" else "comparison"]["label"]
    named = (
        f"Between the {word} {pair['first']} and {pair['second']} the mean {label} differed by "
        f"{{{path}.result.estimate|share}} ({pair['first']} minus {pair['second']}"
    )
    if pair["result"]["ci95"] is None:
        return (
            f"{named}; {{@T7}}); its uncertainty cannot be computed: {{{path}.result.reason|text}}."
        )
    return (
        f"{named}; 95 % interval {{{path}.result.ci95|open}}; df {{{path}.result.df|df}}; "
        f"{{{path}.result.p|p}} against no difference; 90 % interval {{{path}.result.ci90|open}}; "
        f"equivalence within ±{{plan.margin|g}}: {{{path}.result.tost.0.p|p}}; {{@T7}})."
    )


def _apart(results: Results, key: str, word: str) -> str:
    """Which pairs differ after Holm's adjustment."""
    pairs = results[key]["rrrc"]["differences"]
    found = [
        f"{d['first']} minus {d['second']} "
        f"{{{key}.rrrc.differences.{i}.result.estimate|share}} "
        f"({{{key}.rrrc.differences.{i}.result.ci95|open}}; "
        f"{{{key}.rrrc.differences.{i}.p_holm|p}} after Holm)"
        for i, d in enumerate(pairs)
        if d["p_holm"] is not None and d["p_holm"] < 0.05
    ]
    if found:
        return f"Pairs of {word} that differ: {'; '.join(found)}."
    return f"No two {word} differ after Holm's adjustment."
