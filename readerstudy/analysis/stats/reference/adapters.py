"""From the method names of the reference files to the calls that give them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from readerstudy.analysis.stats.reference import basic, multireader, several, trial
from readerstudy.analysis.stats.reference.agreements import AGREEMENT_ADAPTERS
from readerstudy.analysis.stats.reference.dataset import Dataset
from readerstudy.analysis.stats.reference.models import MODEL_ADAPTERS

ADAPTERS: dict[str, Callable[[Dataset, dict[str, Any]], Any]] = {
    "proportion_ci": basic.check_proportion_ci,
    "diff_proportions": basic.check_diff_proportions,
    "confusion": basic.check_confusion,
    "pooled": trial.check_pooled,
    "per_reader": trial.check_per_reader,
    "sdt": basic.check_sdt,
    "tost_one_sample": basic.check_tost_one_sample,
    "tost_binomial": basic.check_tost_binomial,
    "p_adjust": basic.check_p_adjust,
    "holm": basic.check_holm,
    "or_mrmc": several.check_or_mrmc,
    "dbm_mrmc": several.check_dbm_mrmc,
    "binormal": several.check_binormal,
    "power_mrmc": several.check_power_mrmc,
    "or_single": multireader.check_or_single,
    "reader_average": multireader.check_reader_average,
    "delong": multireader.check_delong,
    "delong_paired": multireader.check_delong_paired,
    "pauc": multireader.check_pauc,
    "fool_rate": trial.check_fool_rate,
    "subgroup": trial.check_subgroup,
    "imrmc": multireader.check_imrmc,
    "gee": trial.check_gee,
    "gee_wald": trial.check_gee_wald,
    "twoway_cluster": trial.check_twoway_cluster,
    "bayes_normal": basic.check_bayes_normal,
    "power_single": basic.check_power_single,
    **AGREEMENT_ADAPTERS,
    **MODEL_ADAPTERS,
}
