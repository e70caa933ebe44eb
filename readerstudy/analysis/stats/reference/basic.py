"""One table, one reader, one list of p values: methods without a reader x case structure."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from readerstudy.analysis.stats import bayes, inference, planning, proportions
from readerstudy.analysis.stats.confusion import Confusion
from readerstudy.analysis.stats.reference import uniroot
from readerstudy.analysis.stats.reference.dataset import ASKED, Dataset
from readerstudy.analysis.stats.sdt import sdt


def check_proportion_ci(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    x, n = int(args["x"]), int(args["n"])
    names = cast("list[proportions.Method]", list(proportions.METHOD_NAMES))
    post = proportions.beta_posterior(x, n)
    return {
        "x": x,
        "n": n,
        "p": x / n,
        **{name: proportions.rate_ci(x, n, name, float(args["conf"])).ci for name in names},
        # The engine's exact roots stand beside R's loose ones by up to its tolerance.
        "midp": uniroot.midp(x, n),
        "lik": uniroot.lik(x, n),
        "exact_two_sided_p_vs_half": proportions.exact_p(x, n),
        "exact_less": proportions.exact_p(x, n, 0.5, "less"),
        "exact_greater": proportions.exact_p(x, n, 0.5, "greater"),
        "posterior_beta11": {
            "mean": post.mean,
            "eti95": post.interval,
            "p_gt_half": post.p_above_half,
            "p_in_045_055": post.p_in_rope,
            "bf01_point_half_vs_beta11": post.bf01,
        },
    }


def check_diff_proportions(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    x1, n1, x2, n2 = (int(args[k]) for k in ("x1", "n1", "x2", "n2"))
    methods: tuple[proportions.DiffMethod, ...] = (
        "newcombe_wilson",
        "newcombe_wilsoncc",
        "wald",
        "agresti_caffo",
        "miettinen_nurminen",
    )
    return {
        "diff": proportions.diff_ci(x1, n1, x2, n2).estimate,
        **{name: proportions.diff_ci(x1, n1, x2, n2, name).ci for name in methods},
        "fisher_p": proportions.fisher_p(x1, n1, x2, n2),
    }


def check_confusion(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    table = Confusion("synthetic", "real", *(int(args[k]) for k in ("tp", "fn", "fp", "tn")))
    mcnemar = table.mcnemar() or (None, None)
    return {
        **{key: int(args[key]) for key in ("tp", "fn", "fp", "tn")},
        **{
            key: table.rate(key).estimate
            for key in ("sensitivity", "specificity", "ppv", "npv", "accuracy")
        },
        **{key: value.estimate for key, value in table.derived().items()},
        "acc_test_no_information_rate": table.no_information_p(),
        "mcnemar_cc": mcnemar[0],
        "mcnemar_exact": mcnemar[1],
    }


def check_sdt(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    got = sdt(args["h"], args["m"], args["fa"], args["cr"], correction=args["correction"])
    return {
        "hit_rate": got.hit_rate,
        "fa_rate": got.fa_rate,
        "dprime": got.dprime,
        "criterion_c": got.criterion,
        "ln_beta": got.ln_beta,
        "beta": got.beta,
        "c_prime": got.c_prime,
        "a_prime": got.a_prime,
        "b_second_d": got.b_second,
        "auc_equal_variance": got.auc_equal_variance,
        "se_dprime_gourevitch_galanter": got.se_dprime,
        "ci95_dprime": got.ci95_dprime,
    }


def check_tost_one_sample(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    x = np.asarray(args["x"], dtype=float)
    low, high = float(args["low"]), float(args["high"])
    result = inference.tost_one_sample(x, low, high)
    n, mean, sd = len(x), float(x.mean()), float(x.std(ddof=1))
    se = sd / n**0.5
    against = inference.infer(mean, se, n - 1, method="t")
    return {
        "mean": mean,
        "sd": sd,
        "n": n,
        "df": n - 1,
        "t_lower": (mean - low) / se,
        "t_upper": (mean - high) / se,
        "p_lower": result.p_lower,
        "p_upper": result.p_upper,
        "p_tost": result.p,
        "ci90": result.ci90,
        "t_vs_half": against.statistic,
        "p_vs_half": against.p,
    }


def check_tost_binomial(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    found = inference.tost_binomial(args["x"], args["n"], args["low"], args["high"])
    return {key: {"p_lower": p[0], "p_upper": p[1], "p_tost": max(p)} for key, p in found.items()}


def check_p_adjust(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    methods = ("holm", "hochberg", "hommel", "bonferroni", "BH", "BY")
    return {name: inference.adjust(list(args["p"]), name) for name in methods}


def check_holm(data: Dataset, args: dict[str, Any]) -> Any:
    values = inference.adjust(list(args["p"]))
    return {"holm": values} if args[ASKED] else values


def check_bayes_normal(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    done = bayes.bayes_normal(
        args["estimate"], args["se"], prior_sd=args["prior_sd"], null=args["null"],
        rope=(args["rope"][0], args["rope"][1]),
    )  # fmt: skip
    return {"bf01": done.bf01, "p_rope": done.p_rope}


def check_power_single(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    done = planning.power_single(
        args["J"], args["K"], var_reader=args["var_reader"], var_error=args["var_error"],
        cov2=args["cov2"], pilot_cases=args["K_star"], theta=args["theta"],
        margin=args["margin"],
    )  # fmt: skip
    return {"se": done.se, "df": done.df, "power_two_sided": done.power_two_sided,
            "power_tost": done.power_tost}  # fmt: skip
