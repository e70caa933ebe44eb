"""One lesion from a wish to a verdict: draw, place, paint, transplant, judge; retry or say no."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from synthesis.engine.arrays import Box, Spacing, robust_sd, zyx
from synthesis.engine.compositing import EmptyResidual, transplant
from synthesis.engine.generators import Generator, context_of
from synthesis.engine.mass_effect import pushed_mm
from synthesis.engine.measure import RING_MM
from synthesis.engine.organs import OrganPrior, prior_for
from synthesis.engine.placement import OrganMap, map_organ
from synthesis.engine.quality import Gate, judge
from synthesis.engine.records import (
    Accepted,
    HostCrop,
    LesionSpec,
    NoPlacement,
    Outcome,
    Rejected,
    Scan,
)
from synthesis.engine.shapes import SoftLesion, draw_diameter, draw_radius_field, rasterize

#: Tissue around the lesion that goes into the crop (mm): what it is measured against, and a bit.
_CONTEXT_MM = RING_MM[1] + 1.0
#: Places tried for one drawn shape before it is made smaller.
_PLACES_PER_SIZE = 20
_SHRINK = 0.85
#: Largest lesion radius worth trying, over the radius of the organ's largest inscribed ball.
_THICKEST = 1.5
#: Share of the lesion that must lie inside the organ.
_INSIDE = 0.995
#: At most this share of the place may differ from the organ by that much (HU); more in the lung,
#: which is vessels in air.
_MOST_STRANGE, _MOST_STRANGE_IN_AIR, _STRANGE_HU = 0.08, 0.25, 90.0


@dataclass(frozen=True)
class Prepared:
    """A scan with its placement map and prior: shared by all lesions made in that organ."""

    scan: Scan
    organ_map: OrganMap
    prior: OrganPrior


def prepare(scan: Scan, prior: OrganPrior | None = None) -> Prepared:
    """Do once per organ what does not depend on the single lesion.

    Raises:
        ValueError: not a 3-D volume, masks of another shape, or an empty organ mask.
    """
    if scan.hu.ndim != 3:
        raise ValueError(f"The CT must have three dimensions, not {scan.hu.ndim}.")
    organ_map = map_organ(scan.hu, scan.organ_mask, scan.tumor_mask, scan.spacing)
    return Prepared(scan, organ_map, prior or prior_for(scan.organ))


def synthesize(
    prepared: Prepared,
    spec: LesionSpec,
    generator: Generator,
    seed: int,
    gate: Gate = judge,
) -> Outcome:
    """Make one lesion.

    Every attempt draws from its own stream, ``SeedSequence([seed, attempt])``: the same seed
    gives the same bytes, and a rejected attempt can be made again alone.

    Args:
        prepared: host scan, organ and prior.
        spec: wanted size and mass effect.
        generator: what paints the lesion.
        seed: non-negative integer.
        gate: what decides on each lesion (``quality``); by default the one without a segmentor.
    """
    rejected: list[Rejected] = []
    unchanged = 0
    wanted = max(context_of(generator), context_of(gate))
    diameter = draw_diameter(_stream(seed, 0), *spec.diameter_mm)
    for attempt in range(1, spec.max_attempts + 1):
        rng = _stream(seed, attempt)
        placed = _place(rng, prepared, diameter, spec.diameter_mm[0])
        if placed is None:
            break
        diameter = placed.diameter_mm
        pushed = pushed_mm(diameter) + 1.0 if spec.mass_effect > 0 else 0.0
        host = _crop(prepared.scan, placed, max(_CONTEXT_MM, pushed), wanted)
        painted = generator.paint(rng, host, placed, prepared.prior, spec.mass_effect)
        parameters = {
            "generator": generator.name,
            "generator_version": generator.version,
            **painted.parameters,
        }
        try:
            lesion = transplant(host, placed, painted.change, painted.feather, parameters)
        except EmptyResidual:
            unchanged += 1
            continue
        fault, scores = gate(host, lesion, prepared.prior)
        if fault is None:
            return Outcome(Accepted(lesion, scores, attempt), tuple(rejected))
        rejected.append(Rejected(fault.sentence, fault.code, scores, attempt, lesion))
    return Outcome(_no_placement(prepared, spec, rejected, unchanged), tuple(rejected))


def _stream(seed: int, attempt: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, attempt]))


def _no_placement(
    prepared: Prepared, spec: LesionSpec, rejected: list[Rejected], unchanged: int
) -> NoPlacement:
    low, high = spec.diameter_mm
    organ = prepared.prior.organ
    attempts = len(rejected) + unchanged
    if rejected:
        often, count = Counter(one.code for one in rejected).most_common(1)[0]
        example = next(one.reason for one in rejected if one.code == often).rstrip(".")
        return NoPlacement(
            f"None of {attempts} lesions drawn in the {organ} passed the checks "
            f"({count} times such as this: {example}); "
            "choose other diameters or another scan.",
            attempts,
        )
    if unchanged:
        return NoPlacement(
            f"In {attempts} attempts the generator changed no voxel of the {organ}; choose larger "
            "lesions or other weights.",
            attempts,
        )
    deepest = prepared.organ_map.deepest_mm
    free = f"its free part is at most {2.0 * deepest:.0f} mm thick"
    if not _hopeless(low, deepest):
        free += ", and every place tried crosses its edge, a tumor, a vessel or a fissure"
    return NoPlacement(
        f"No lesion of {low:g} to {high:g} mm fits into the {organ}: {free}; "
        "choose smaller lesions or another scan.",
        0,
    )


def _hopeless(diameter: float, deepest_mm: float) -> bool:
    """Even a long lesion needs some thickness of organ."""
    return 0.5 * diameter > _THICKEST * deepest_mm


def _place(
    rng: np.random.Generator, prepared: Prepared, diameter: float, smallest: float
) -> SoftLesion | None:
    """Draw a shape and find it a place: retry, then shrink towards ``smallest``, then give up."""
    prior, scan = prepared.prior, prepared.scan
    while True:
        field = draw_radius_field(
            rng,
            diameter,
            lobulation=prior.lobulation,
            spiculation=prior.spiculation,
            elongation=prior.elongation,
        )
        edge = float(rng.uniform(*prior.edge_mm))
        clearance = min(0.5 * diameter + prior.margin_mm, 0.98 * prepared.organ_map.deepest_mm)
        # do not draw what cannot fit
        hopeless = _hopeless(diameter, prepared.organ_map.deepest_mm)
        for _ in range(0 if hopeless else _PLACES_PER_SIZE):
            center = prepared.organ_map.draw(rng, clearance)
            if center is None:
                break
            lesion = rasterize(field, scan.spacing, center, edge_mm=edge)
            if _fits(prepared, lesion):
                return lesion
        if diameter <= smallest:
            return None
        diameter = max(diameter * _SHRINK, smallest)


def _fits(prepared: Prepared, lesion: SoftLesion) -> bool:
    """Inside the organ, clear of real tumors, in tissue that looks like the organ."""
    scan, organ_map = prepared.scan, prepared.organ_map
    box = lesion.box
    if box.clipped(scan.hu.shape) != box:
        return False
    organ = np.asarray(scan.organ_mask[box.slices], bool)
    if float(organ[lesion.mask].mean()) < _INSIDE:
        return False
    touched = lesion.coverage > 0
    if scan.tumor_mask is not None and np.asarray(scan.tumor_mask[box.slices], bool)[touched].any():
        return False
    values = np.asarray(scan.hu[box.slices])[lesion.mask]
    # A fissure, a bowel loop or a large vessel within the organ's mask is no place for a lesion.
    strange = np.abs(values - organ_map.typical_hu) > max(4.0 * organ_map.spread_hu, _STRANGE_HU)
    if float(strange.mean()) > (_MOST_STRANGE_IN_AIR if prepared.prior.absolute else _MOST_STRANGE):
        return False
    unlike = abs(float(np.median(values)) - organ_map.typical_hu)
    return unlike <= max(2.0 * organ_map.spread_hu, 25.0) and robust_sd(values) <= max(
        2.5 * organ_map.spread_hu, 40.0
    )


def _crop(scan: Scan, lesion: SoftLesion, margin_mm: float, wanted_mm: float = 0.0) -> HostCrop:
    """The host around the lesion: ``margin_mm`` from its mask, ``wanted_mm`` from its box."""
    step: Spacing = zyx(scan.spacing)
    box: Box = lesion.surroundings(margin_mm, step)
    if wanted_mm > 0:
        box = box.joined(lesion.box.grown(wanted_mm, step))
    box = box.clipped(scan.hu.shape)
    cut = box.slices
    organ = np.asarray(scan.organ_mask[cut], bool)
    tumor = (
        np.asarray(scan.tumor_mask[cut], bool)
        if scan.tumor_mask is not None
        else np.zeros(organ.shape, bool)
    )
    return HostCrop(
        hu=np.asarray(scan.hu[cut], np.float32),
        organ=organ,
        tumor=tumor,
        box=box,
        spacing_zyx=step,
        organ_name=scan.organ,
    )
