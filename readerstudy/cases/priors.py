"""What made lesions should look like: fitted to the real lesions of the library, or the table.

One source of truth for runs, for `synthesize` and for the pages, so that all of them say the same
numbers and how many real lesions stand behind them. Light enough for the web process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from django.db import DatabaseError

from synthesis.engine.organs import (
    OrganPrior,
    canonical_organ,
    fit_prior,
    fit_texture,
    prior_for,
)

from .errors import CasesError
from .models import Candidate

#: Fewer real lesions say more about themselves than about the organ: the table is used then.
LEAST_LESIONS = 3
LIBRARY, TABLE = "library", "table"
_NAMES = tuple(field.name for field in fields(OrganPrior))
_PAIRS = {field.name for field in fields(OrganPrior) if "tuple" in str(field.type)}


@dataclass(frozen=True)
class Appearance:
    """The prior of one organ and where it is from.

    ``source`` is ``library``, ``table`` or the name of a file; ``lesions`` counts the measured
    real lesions of the library, whether or not they were enough to be used.
    """

    prior: OrganPrior
    source: str
    lesions: int = 0

    def as_json(self) -> dict[str, Any]:
        """For records and files; `from_json` is its inverse."""
        found = {"source": self.source, "lesions": self.lesions}
        return {**found, **asdict(self.prior)}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Appearance:
        values = {name: stored[name] for name in _NAMES if name in stored}
        prior = OrganPrior(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
        fitted = LIBRARY if prior.fitted_from else TABLE
        return cls(prior, stored.get("source", fitted), stored.get("lesions", prior.fitted_from))

    @property
    def needed(self) -> int:
        """How many real lesions are missing before the library is used."""
        return max(0, LEAST_LESIONS - self.lesions)

    @property
    def value(self) -> float:
        """Mean of the lesion in HU where the prior is absolute, else its contrast."""
        return self.prior.level if self.prior.absolute else self.prior.contrast

    @property
    def spread(self) -> float:
        return self.prior.level_sd if self.prior.absolute else self.prior.contrast_sd


class _Seen(NamedTuple):
    contrast_hu: float
    core_hu: float
    grain_hu: float


def library_priors(organs: Iterable[str]) -> dict[str, Appearance]:
    """The priors of organs by their label, fitted where the library has enough real lesions."""
    real = _real_lesions()
    return {organ: _appearance(organ, real.get(canonical_organ(organ), [])) for organ in organs}


def table_prior(organ: str) -> Appearance:
    return Appearance(prior_for(organ), TABLE)


def _appearance(organ: str, seen: list[_Seen]) -> Appearance:
    table = prior_for(organ)
    if len(seen) < LEAST_LESIONS:
        return Appearance(table, TABLE, len(seen))
    fitted = fit_texture(fit_prior(table, seen), [lesion.grain_hu for lesion in seen])
    return Appearance(fitted, LIBRARY, len(seen))


def _real_lesions() -> dict[str, list[_Seen]]:
    """Measurements of real lesions that no one rejected, by the engine's name of their organ."""
    rows = Candidate.objects.filter(kind=Candidate.Kind.REAL, volume__synthetic="").exclude(
        state=Candidate.State.REJECTED
    )
    found: dict[str, list[_Seen]] = {}
    for organ, stored in rows.order_by("pk").values_list("organ", "verdict__measures"):
        measures = stored or {}
        if "contrast_hu" not in measures or "core_hu" not in measures:
            continue
        grain = float(measures.get("grain_hu", math.nan))
        lesion = _Seen(float(measures["contrast_hu"]), float(measures["core_hu"]), grain)
        found.setdefault(canonical_organ(organ), []).append(lesion)
    return found


# -- from the command line -----------------------------------------------------------------------


def chosen_prior(organ: str, wish: str) -> Appearance:
    """The prior of ``organ`` as ``--priors`` asks: ``library``, ``table`` or a JSON file.

    Without a database there is no library, and so no lesion to fit to.

    Raises:
        CasesError: the file cannot be used; the sentence names it.
    """
    if wish == TABLE:
        return table_prior(organ)
    if wish == LIBRARY:
        try:
            return library_priors([organ])[organ]
        except DatabaseError:
            return table_prior(organ)
    return _from_file(Path(wish), organ)


def _from_file(path: Path, organ: str) -> Appearance:
    try:
        found = json.loads(path.read_bytes())
    except OSError:
        raise CasesError(
            f"There is no file {path} with priors; give library, table or a JSON file "
            "(lesion_priors writes one)."
        ) from None
    except (ValueError, RecursionError):
        raise CasesError(f"{path} is no JSON; lesion_priors writes such a file.") from None
    organs = found.get("priors", found) if isinstance(found, dict) else None
    if not isinstance(organs, dict) or not all(isinstance(v, dict) for v in organs.values()):
        raise CasesError(f"{path} must hold an object with one object for each organ.")
    name = canonical_organ(organ)
    stored = next((v for key, v in organs.items() if canonical_organ(key) == name), None)
    if stored is None:
        raise CasesError(
            f"{path} has no priors of the {name}; it has {', '.join(sorted(organs)) or 'none'}."
        )
    values = {k: v for k, v in stored.items() if k not in ("organ", "source", "lesions")}
    prior = replace(prior_for(organ), **{k: _value(path, k, v) for k, v in values.items()})
    _check(path, prior)
    lesions = stored.get("lesions", 0)
    return Appearance(prior, path.name, lesions if isinstance(lesions, int) else 0)


def _value(path: Path, name: str, value: Any) -> Any:
    """One entry of a file as the prior holds it."""
    if name not in _NAMES:
        near = get_close_matches(name, _NAMES, 1)
        hint = f"did you mean {near[0]}?" if near else f"it may hold {', '.join(_NAMES[1:])}."
        raise CasesError(f"{path}: {name!r} is no property of a prior; {hint}")
    if name == "absolute":
        kind, fits = "true or false", isinstance(value, bool)
    elif name in _PAIRS:
        kind = "two numbers, the smaller first"
        fits = isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
        fits = fits and value[0] <= value[1]
    else:
        kind, fits = "a number", _is_number(value)
    if not fits:
        raise CasesError(f"{path}: {name} must be {kind}, not {json.dumps(value)[:40]}.")
    return tuple(value) if isinstance(value, list) else value


def _is_number(value: Any) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and math.isfinite(value)


def _check(path: Path, prior: OrganPrior) -> None:
    negative = next(
        (
            name
            for name in ("contrast_sd", "level_sd", "heterogeneity_sd", "lobulation", "margin_mm")
            if getattr(prior, name) < 0
        ),
        None,
    )
    if negative:
        raise CasesError(f"{path}: {negative} must not be negative.")
    low, high = prior.contrast_range
    if not low <= prior.contrast <= high:
        raise CasesError(
            f"{path}: the contrast of {prior.contrast:g} HU lies outside its range of {low:g} to "
            f"{high:g} HU."
        )
