"""Variants of one CT: each with its own lesions, each lesion with the way to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from readerstudy.cases.errors import CasesError
from readerstudy.cases.services.runs import LARGEST_MM, SMALLEST_MM

from .hosts import Host

if TYPE_CHECKING:
    from synthesis.engine.generators import Generator
    from synthesis.engine.organs import OrganPrior
    from synthesis.engine.pipeline import Prepared
    from synthesis.engine.precision import Precision
    from synthesis.engine.quality import Gate
    from synthesis.engine.records import Lesion, NoPlacement, Outcome, Rejected

#: Healthy tissue (mm) kept between two lesions of one variant.
APART_MM = 4.0
MOST_LESIONS, MOST_VARIANTS, MOST_ATTEMPTS = 3, 99, 100
#: Tries for each lesion until one passes.
ATTEMPTS = 12
_WEIGHTS = ".safetensors"
Hu = npt.NDArray[np.int16]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Wish:
    """What is asked for; lengths in mm.

    Raises:
        CasesError: a number out of its range, or an unknown organ or generator.
    """

    organ: str
    generator: str
    diameter_mm: tuple[float, float]
    count: int
    variants: int
    seed: int
    mass_effect: float
    attempts: int = ATTEMPTS

    def __post_init__(self) -> None:
        low, high = self.diameter_mm
        faults = (
            (
                low > high,
                f"The diameter range is reversed: {low:g} mm is more than {high:g} mm; put the "
                "smaller number first.",
            ),
            (
                not SMALLEST_MM <= low <= high <= LARGEST_MM,
                f"Diameters must lie between {SMALLEST_MM:g} and {LARGEST_MM:g} mm.",
            ),
            (
                not 1 <= self.count <= MOST_LESIONS,
                f"--count is the number of lesions in one CT, 1 to {MOST_LESIONS}, not "
                f"{self.count}.",
            ),
            (
                not 1 <= self.variants <= MOST_VARIANTS,
                f"--n is the number of variants, 1 to {MOST_VARIANTS}, not {self.variants}.",
            ),
            (not 0 <= self.seed < 2**62, "The seed must be a whole number from 0 to 2^62."),
            (
                not 1 <= self.attempts <= MOST_ATTEMPTS,
                f"--attempts is the number of tries for each lesion, 1 to {MOST_ATTEMPTS}, not "
                f"{self.attempts}.",
            ),
            (not 0 <= self.mass_effect <= 1, "The mass effect goes from 0 (none) to 1 (strong)."),
        )
        for wrong, text in faults:
            if wrong:
                raise CasesError(text)
        known_organ(self.organ)


@dataclass(frozen=True)
class Made:
    """One lesion and the tries on the way to it; ``lesion`` is None when there is no room."""

    seed: int
    outcome: Outcome
    lesion: Lesion | None

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        return self.outcome.rejected


@dataclass(frozen=True)
class Variant:
    """A CT with lesions: (z, y, x) on the grid of the host.

    ``hu`` is None when one of its lesions could not be made.
    """

    number: int
    lesions: tuple[Made, ...]
    hu: Hu | None
    mask: Mask


def known_organ(label: str) -> str:
    """The engine's name of an organ. Raises CasesError when it knows none of that name."""
    from synthesis.engine.organs import PRIORS, canonical_organ

    name = canonical_organ(label)
    if name in PRIORS:
        return name
    near = get_close_matches(name, PRIORS, 1)
    hint = f"did you mean {near[0]}?" if near else f"choose one of: {', '.join(sorted(PRIORS))}."
    raise CasesError(f"The organ {label!r} is not known; {hint}")


def known_generator(
    name: str, checkpoint: str | None = None, precision: Precision = "auto"
) -> Generator:
    """The generator `name` with the weights `checkpoint`: a file, or a name of the registry.

    Without weights a learned one takes those that ship; `precision` is that of its network.

    Raises:
        CasesError: there is none of that name, or it cannot start.
    """
    from synthesis.engine.errors import SynthesisError
    from synthesis.engine.generators import Weights, get_generator, needs_weights
    from synthesis.engine.shipped import GENERATOR

    if checkpoint is None and precision != "auto" and needs_weights(name):
        checkpoint = GENERATOR
    try:
        if checkpoint is None:
            return get_generator(name)
        if path := _weights_file(checkpoint):
            return get_generator(name, Weights(path, precision=precision))
        from synthesis.selectors import generator_weights

        return get_generator(name, replace(generator_weights(checkpoint), precision=precision))
    except (ValueError, SynthesisError) as error:
        raise CasesError(str(error)) from None


def _weights_file(given: str) -> Path | None:
    """The file of that name; None where a name of the registry is meant.

    Raises:
        CasesError: it looks like a file and is none, or is none that can be loaded safely.
    """
    path = Path(given)
    if path.is_file():
        if path.suffix == _WEIGHTS:
            return path
        raise CasesError(
            f"{path} is no {_WEIGHTS} file; convert the authors' weights with import_checkpoint "
            f"{path} --name NAME and give that name."
        )
    if path.suffix in (_WEIGHTS, ".pt", ".pth") or len(path.parts) > 1:
        raise CasesError(
            f"The checkpoint {path} does not exist; give a {_WEIGHTS} file, or a name that "
            "list_checkpoints shows."
        )
    return None


@dataclass(frozen=True)
class Judge:
    """What decides on each lesion; ``policy`` is ``measures`` where no segmentor is asked."""

    gate: Gate
    policy: str = "measures"
    segmentor_sha256: str | None = None


def known_judge(policy: str, segmentor: str | None, precision: Precision = "auto") -> Judge:
    """The gate ``policy`` with the weights of ``segmentor``: a file, or a name of the registry.

    ``precision`` is that of the segmentor's network.

    Raises:
        CasesError: the policy is unknown, or the segmentor cannot be used.
    """
    from synthesis.engine.errors import SynthesisError
    from synthesis.engine.quality import judge, make_gate

    if segmentor is None:
        if policy == "paper":
            raise CasesError("The policy paper needs a segmentor; give one with --segmentor.")
        return Judge(judge)
    try:
        from synthesis.engine.checkpoints import load_checkpoint
        from synthesis.engine.segmenters import NetworkSegmenter

        if path := _weights_file(segmentor):
            loaded = load_checkpoint(path, kind="segmentor")
        else:
            from synthesis.selectors import load_registered

            loaded = load_registered(segmentor, "segmentor")
        segmenter = NetworkSegmenter(loaded, precision=precision)
        return Judge(make_gate(policy, segmenter), policy, loaded.sha256)
    except (ValueError, SynthesisError) as error:
        raise CasesError(str(error)) from None


def make_variants(
    host: Host,
    organ: Mask,
    tumor: Mask | None,
    wish: Wish,
    generator: Generator,
    judge: Judge,
    prior: OrganPrior | None = None,
) -> Iterator[Variant]:
    """Make each variant from the untouched host; the same wish makes the same voxels.

    Raises:
        CasesError: the organ mask is empty.
    """
    from synthesis.engine.pipeline import prepare
    from synthesis.engine.records import Scan

    scan = Scan(
        hu=host.data.hu,
        spacing=host.data.geometry.spacing,
        organ=known_organ(wish.organ),
        organ_mask=organ,
        tumor_mask=tumor,
    )
    try:
        prepared = prepare(scan, prior)
    except ValueError as error:
        raise CasesError(f"No lesion can be made in this CT: {error}") from None
    for number in range(1, wish.variants + 1):
        yield _variant(prepared, wish, generator, judge, number)


def lesion_seed(seed: int, variant: int, lesion: int) -> int:
    """The seed of one lesion, derived from the command's."""
    state = np.random.SeedSequence([seed, variant, lesion]).generate_state(1, np.uint64)
    return int(state[0] >> 2)


def _variant(
    prepared: Prepared, wish: Wish, generator: Generator, judge: Judge, number: int
) -> Variant:
    from synthesis.engine.pipeline import synthesize
    from synthesis.engine.records import Accepted, LesionSpec

    spec = LesionSpec(wish.diameter_mm, wish.mass_effect, wish.attempts)
    hu: Any = prepared.scan.hu
    mask = np.zeros(hu.shape, np.bool_)
    made: list[Made] = []
    for index in range(1, wish.count + 1):
        seed = lesion_seed(wish.seed, number, index)
        outcome = synthesize(prepared, spec, generator, seed, judge.gate)
        if not isinstance(outcome.verdict, Accepted):
            made.append(Made(seed, outcome, None))
            return Variant(number, tuple(made), None, mask)
        lesion = outcome.verdict.lesion
        made.append(Made(seed, outcome, lesion))
        hu = lesion.apply(hu)
        mask[lesion.box.slices] |= lesion.mask
        if index < wish.count:
            prepared = _beside(prepared, hu, lesion)
    return Variant(number, tuple(made), hu, mask)


def _beside(prepared: Prepared, hu: Hu, lesion: Lesion) -> Prepared:
    """The host for the next lesion: the last one counts as a tumor, with room around it."""
    from scipy import ndimage

    scan = prepared.scan
    step = scan.spacing[::-1]
    box = lesion.box.grown(APART_MM, (step[0], step[1], step[2])).clipped(hu.shape)
    changed = np.zeros(box.shape, np.bool_)
    changed[lesion.box.within(box)] = lesion.feather > 0
    near = ndimage.distance_transform_edt(~changed, sampling=step) <= APART_MM
    tumor = np.zeros(hu.shape, np.bool_) if scan.tumor_mask is None else scan.tumor_mask.copy()
    tumor[box.slices] |= near
    return replace(prepared, scan=replace(scan, hu=hu, tumor_mask=tumor))


def why_not(variants: list[Variant]) -> NoPlacement | None:
    """The first reason why a variant could not be made."""
    for variant in variants:
        verdict = variant.lesions[-1].outcome.verdict
        if variant.hu is None and hasattr(verdict, "reason"):
            return verdict
    return None
