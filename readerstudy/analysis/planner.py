"""The planning page: from a design somebody types to its power, precision and hours.

The address holds the whole question, so that a plan can be sent to a colleague. The formulas
import scipy, which is done when the first plan is asked for and not with the web process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django import forms

from readerstudy.trials.models import Trial

from . import selectors
from .access import ANALYSTS

if TYPE_CHECKING:
    from .stats.planning import Components
    from .stats.plantable import PlanRow

READERS = (5, 8, 13, 20, 30)
CASES = (40, 60, 80, 100, 120, 160, 200, 240, 300, 400, 500, 600)
OWN = "own"
#: Endpoint -> its name in a sentence.
ENDPOINTS = {"auc": "AUC", "balanced_accuracy": "balanced accuracy"}
MEASURES = {
    "tost": "Power to show equivalence",
    "difference": "Power to find a difference",
    "width": "95 % interval, ±",
    "hours": "Hours of all readers",
}


@dataclass(frozen=True)
class Preset:
    """Variance components of a kind of study: (VarR, Var, Cov2) on 90 cases, by endpoint.

    They are means over 200 simulated trials of 13 readers and 90 cases (half synthetic, six
    answers) of the Roe-Metz model; `structure` and `auc` are its parameters.
    """

    label: str
    about: str
    structure: str
    auc: float
    auc_components: tuple[float, float, float]
    accuracy_components: tuple[float, float, float]


PILOT_CASES, PILOT_READERS, PILOT_TRIALS, PILOT_SEED = 90, 13, 200, 2025
PRESETS = {
    "freetumor": Preset(
        "Like FreeTumor",
        "FreeTumor's test had 13 readers, 90 cases and an accuracy of 60.8 %, which goes with an "
        "AUC of 0.66 if half of the cases were synthetic. No variances were published; taken "
        "cautiously, readers differ much and agree much on single cases (Roe-Metz structure HH).",
        "HH", 0.66, (0.002803, 0.003215, 0.00175), (0.001658, 0.002625, 0.001055),
    ),
    "HH": Preset(
        "Readers differ, cases decide (Roe-Metz HH)",
        "Guessing readers of high variance whose answers to a case agree much: the most cautious.",
        "HH", 0.5, (0.003209, 0.00362, 0.001999), (0.001702, 0.002769, 0.001133),
    ),
    "HL": Preset(
        "Readers alike, cases decide (Roe-Metz HL)",
        "Guessing readers of low variance whose answers to a case agree much.",
        "HL", 0.5, (0.001581, 0.003651, 0.002023), (0.000857, 0.002788, 0.001149),
    ),
    "LH": Preset(
        "Readers differ and answer on their own (Roe-Metz LH)",
        "Guessing readers of high variance whose answers to a case agree little.",
        "LH", 0.5, (0.003176, 0.003623, 0.000654), (0.001742, 0.00277, 0.000359),
    ),
    "LL": Preset(
        "Readers alike and answer on their own (Roe-Metz LL)",
        "Guessing readers of low variance whose answers to a case agree little: the most hopeful.",
        "LL", 0.5, (0.001537, 0.003654, 0.000661), (0.000821, 0.002789, 0.000363),
    ),
}  # fmt: skip
DEFAULTS: dict[str, str] = {
    "readers": "13",
    "cases": "120",
    "endpoint": "auc",
    "margin": "0.1",
    "theta": "0.5",
    "seconds": "180",
    "source": "freetumor",
    "show": "tost",
}


#: What is believed to be found by default: FreeTumor's AUC, and its accuracy.
EXPECTED = {"auc": "0.66", "balanced_accuracy": "0.61"}


def _said(low: float, high: float) -> dict[str, str]:
    """One sentence for every number that does not fit."""
    sentence = f"Type a number from {low:g} to {high:g}."
    return dict.fromkeys(("invalid", "required", "min_value", "max_value"), sentence)


def _number(label: str, help_text: str, low: float, high: float) -> forms.FloatField:
    widget = forms.NumberInput(attrs={"step": "any", "min": low, "max": high})
    return forms.FloatField(
        label=label, help_text=help_text, min_value=low, max_value=high, widget=widget,
        error_messages=_said(low, high),
    )  # fmt: skip


def _count(label: str, help_text: str, low: int, high: int) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, help_text=help_text, min_value=low, max_value=high,
        error_messages=_said(low, high),
    )  # fmt: skip


class PlanForm(forms.Form):
    """A design and what is believed about it. `trials` may lend their variance components."""

    readers = _count("Readers", "Each reads every case.", 2, 500)
    cases = _count("Cases", "Both kinds together, half synthetic.", 10, 5000)
    seconds = _number("Seconds a case", "180 in published CT readings.", 5, 3600)
    endpoint = forms.ChoiceField(
        label="Primary endpoint",
        choices=[("auc", "AUC of the ratings"), ("balanced_accuracy", "Balanced accuracy")],
        help_text="Guessing gives 0.5 on both.",
    )
    margin = _number("Margin, ±", "Of equivalence: 0.1, or 0.05.", 0.01, 0.4)
    theta = _number("If they cannot tell", "True value then: 0.5 is guessing.", 0.05, 0.95)
    expected = _number("If they can tell", "True value then, to be found.", 0.05, 0.99)
    source = forms.ChoiceField(label="Variance between readers and cases")
    var_reader = _number("Variance of readers", "VarR: of their true values.", 0, 0.25)
    var_error = _number("Error variance", "Var: of one reader.", 0, 0.25)
    cov2 = _number("Covariance", "Cov2: of two readers.", -0.25, 0.25)
    pilot_cases = _count("Cases of the pilot", "K*: Var and Cov2 come from them.", 2, 5000)
    show = forms.ChoiceField(choices=list(MEASURES.items()), required=False)

    OWN_FIELDS = ("var_reader", "var_error", "cov2", "pilot_cases")

    def __init__(self, data: dict[str, str], trials: list[Trial]) -> None:
        super().__init__(data)
        groups: list[Any] = [(key, preset.label) for key, preset in PRESETS.items()]
        if trials:
            lent = [(f"trial:{trial.slug}", trial.title) for trial in trials]
            groups.append(("As found in a finished trial", lent))
        groups.append((OWN, "My own numbers"))
        self._field("source").choices = groups
        for name in self.OWN_FIELDS:
            self.fields[name].required = data.get("source") == OWN

    def _field(self, name: str) -> Any:
        return self.fields[name]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        theta, margin, expected = (values.get(k) for k in ("theta", "margin", "expected"))
        if theta is not None and margin is not None and abs(theta - 0.5) >= margin:
            self.add_error(
                "theta",
                f"{theta:g} lies outside 0.5 ± {margin:g}: equivalence cannot be shown of it.",
            )
        if expected is not None and abs(expected - 0.5) < 1e-9:
            self.add_error("expected", "0.5 is guessing: there is no difference to find.")
        if values.get("source") == OWN and not (values.get("var_error") or 0) > 0:
            self.add_error("var_error", "The error variance must be above 0.")
        return values

    @property
    def own(self) -> list[Any]:
        return [self[name] for name in self.OWN_FIELDS]

    @property
    def wants_own(self) -> bool:
        return self.data.get("source") == OWN


def lending_trials(user: Any) -> list[Trial]:
    """Unblinded trials with results that `user` may analyse."""
    trials = Trial.objects.select_related("active_protocol").filter(
        state=Trial.State.UNBLINDED,
        memberships__user=user,
        memberships__role__in=ANALYSTS,
        memberships__valid_to__isnull=True,
    )
    return [trial for trial in trials.distinct() if selectors.snapshot_of(trial) is not None]


def plan_page(user: Any, given: dict[str, str]) -> dict[str, Any]:
    """The form with what was typed and, where it makes sense, the plan."""
    trials = lending_trials(user)
    if given.get("show") not in MEASURES:  # no field of the form: nobody typed it
        given = {**given, "show": DEFAULTS["show"]}
    endpoint = given.get("endpoint", DEFAULTS["endpoint"])
    expected = EXPECTED.get(endpoint, EXPECTED["auc"])
    form = PlanForm({**DEFAULTS, "expected": expected, **given}, trials)
    context: dict[str, Any] = {"form": form, "measures": MEASURES}
    if not form.is_valid():
        return context
    values = form.cleaned_data
    components = _components(values, {trial.slug: trial for trial in trials})
    if components is None:
        form.add_error("source", "This trial could not estimate the variances; choose another.")
        return context
    return context | _plan(values, components)


def _components(values: dict[str, Any], trials: dict[str, Trial]) -> Components | None:
    from .stats.planning import Components

    source, endpoint = values["source"], values["endpoint"]
    if source == OWN:
        return Components(
            values["var_reader"], values["var_error"], values["cov2"], values["pilot_cases"],
            "Numbers of your own.",
        )  # fmt: skip
    if source in PRESETS:
        preset = PRESETS[source]
        own = preset.auc_components if endpoint == "auc" else preset.accuracy_components
        return Components(*own, PILOT_CASES, preset.about)
    trial = trials[source.removeprefix("trial:")]
    snapshot = selectors.snapshot_of(trial)
    if snapshot is None:
        return None
    results = selectors.results_of(snapshot)
    found, data = results["endpoints"][endpoint], results["data"]
    if any(found[key] is None for key in ("ms_r", "var_error", "cov2")):
        return None
    between = max(0.0, found["ms_r"] - found["var_error"] + found["cov2"])
    about = (
        f"As found in “{trial.title}”: {found['n_readers']} readers, {data['n_cases']} cases "
        f"({found['covariance']} covariance). Estimates of a small trial are rough."
    )
    return Components(between, found["var_error"], found["cov2"], data["n_cases"], about)


# ---------------------------------------------------------------------------------------- the plan


@dataclass(frozen=True)
class Cell:
    """One design of the table; `level` shades it from 0 (poor) to 5 (good)."""

    cases: int
    text: str
    level: int | None
    query: str
    current: bool


def _plan(values: dict[str, Any], components: Components) -> dict[str, Any]:
    from .charts import power_curves
    from .stats.plantable import cases_needed, plan_table

    readers, cases = values["readers"], values["cases"]
    scale = max(1, -(-cases // CASES[-1]))
    rows_of = sorted({*READERS, readers})
    columns = sorted({*(scale * k for k in CASES), cases})
    made = plan_table(
        components, rows_of, columns, theta=values["theta"], margin=values["margin"],
        alternative=values["expected"], seconds_per_reading=values["seconds"],
    )  # fmt: skip
    table = {(row.n_readers, row.n_cases): row for row in made}
    own = table[readers, cases]
    show = values["show"] or "tost"
    common = {"theta": values["theta"], "margin": values["margin"]}
    needed = {
        "tost": cases_needed(readers, components, goal="tost", **common),
        "difference": cases_needed(
            readers, components, goal="difference", theta=values["expected"]
        ),
    }
    return {
        "plan": own,
        "components": components,
        "endpoint": ENDPOINTS[values["endpoint"]],
        "values": values,
        "needed": needed,
        "show": show,
        "shown": MEASURES[show],
        "links": [
            (key, label, _query(values, show=key), key == show) for key, label in MEASURES.items()
        ],
        "columns": columns,
        "table": [
            (j, j == readers, [_cell(values, table[j, k], show, own) for k in columns])
            for j in rows_of
        ],
        "charts": [
            (
                MEASURES[key],
                power_curves(
                    [
                        (j, j == readers, [(k, getattr(table[j, k], field)) for k in columns])
                        for j in rows_of
                    ],
                    (cases, getattr(own, field)),
                ),
            )
            for key, field in (("tost", "power_tost"), ("difference", "power_difference"))
        ],
    }


def _cell(values: dict[str, Any], row: PlanRow, show: str, own: PlanRow) -> Cell:
    value = {
        "tost": row.power_tost,
        "difference": row.power_difference,
        "width": row.half_width95,
        "hours": row.hours_total,
    }[show]
    text = "–"
    level = None
    if value is not None and show in ("tost", "difference"):
        text = f"{100 * value:.0f}"
        level = sum(value >= step for step in (0.2, 0.4, 0.6, 0.8, 0.9))
    elif value is not None and show == "width":
        text = f"{value:.3f}"
        level = sum(value <= step for step in (0.15, 0.1, 0.075, 0.05, 0.03))
    elif value is not None:
        text = f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
    query = _query(values, readers=row.n_readers, cases=row.n_cases)
    return Cell(row.n_cases, text, level, query, row is own)


def _query(values: dict[str, Any], **changes: Any) -> str:
    """The question as an address, own components only where they count."""
    merged = {**values, **changes}
    kept = [*DEFAULTS, "expected"]
    if merged["source"] == OWN:
        kept += PlanForm.OWN_FIELDS
    return urlencode({name: _plain(merged[name]) for name in kept})


def _plain(value: Any) -> Any:
    return f"{value:g}" if isinstance(value, float) else value
