"""Random lesion shapes in millimetres.

A lesion is star-shaped: a smooth random radius over all directions of the sphere,

    r(u) = s * e(u) * exp(g(u)),

where ``e`` is the radius of a randomly turned ellipsoid, ``g`` a Gaussian random field on the
sphere (a sum of random plane waves, so it has no poles and no seams), and the scale ``s`` is
chosen so that the enclosed volume ``(1/3) * integral of r(u)**3`` is that of a sphere of the
requested diameter. Drawing on a voxel grid comes after: the same shape can be drawn on any grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthesis.engine.arrays import (
    Box,
    Field,
    MaskArray,
    Spacing,
    bounding_box,
    sphere_ml,
    voxel_ml,
    zyx,
)

_POLAR, _AZIMUTH = 65, 128
_WAVES = 24
#: A shape is averaged over sub-voxels no larger than this (mm): the partial volume of thick slices.
_FINEST_MM = 1.25
#: Coverage below this is cut to zero, so that a lesion ends somewhere.
_FAINTEST = 0.005
#: Spikes of the radius keep the length (mm) that they have in a lesion of this diameter.
_SPICULATED_MM = 14.0
#: Up to this diameter (mm) the volume of the soft lesion is corrected on the grid.
_SMALL_MM = 18.0


@dataclass(frozen=True)
class RadiusField:
    """A closed star-shaped surface: radius in mm over a polar x azimuth grid of directions."""

    diameter_mm: float
    radius: Field
    slope: Field

    @property
    def reach_mm(self) -> float:
        """Largest radius in mm."""
        return float(self.radius.max())

    def signed_distance(self, points: NDArray[np.float32]) -> Field:
        """Distance in mm to the surface, negative inside, for points (3, ...) in (z, y, x) mm.

        First order: the radial gap divided by ``sqrt(1 + |grad r|**2 / r**2)``, exact on the
        surface and for a sphere.
        """
        z, y, x = points
        distance = np.sqrt(z * z + y * y + x * x)
        polar = np.arccos(np.clip(z / np.maximum(distance, 1e-6), -1.0, 1.0))
        azimuth = np.arctan2(y, x) % np.float32(2.0 * np.pi)
        where = np.stack(
            [polar * ((_POLAR - 1) / np.pi), azimuth * (_AZIMUTH / (2.0 * np.pi))]
        ).astype(np.float32)
        # One extra column closes the circle of azimuths for the linear interpolation.
        radius = ndimage.map_coordinates(_closed(self.radius), where, order=1, mode="nearest")
        slope = ndimage.map_coordinates(_closed(self.slope), where, order=1, mode="nearest")
        out: Field = ((distance - radius) * slope).astype(np.float32)
        return out


@dataclass(frozen=True)
class SoftLesion:
    """A shape drawn on a grid.

    ``coverage`` in 0..1 is how much of each voxel the lesion fills, after its soft edge; it is 0
    outside the lesion's reach. ``mask`` is the lesion as an annotator would outline it.
    ``box`` says where both lie in the volume; ``depth_mm`` is the distance to the surface,
    positive inside.
    """

    box: Box
    coverage: Field
    mask: MaskArray
    depth_mm: Field
    diameter_mm: float
    edge_mm: float
    center: tuple[float, float, float]

    def surroundings(self, margin_mm: float, spacing_zyx: Spacing) -> Box:
        """The box of the lesion with ``margin_mm`` of tissue around its mask (not clipped)."""
        tight = bounding_box(self.mask)
        if tight is None:
            return self.box.grown(margin_mm, spacing_zyx)
        return tight.moved(self.box.start).grown(margin_mm, spacing_zyx).joined(self.box)


def _closed(grid: Field) -> Field:
    return np.concatenate([grid, grid[:, :1]], axis=1)


def _directions() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    polar = np.linspace(0.0, np.pi, _POLAR)[:, None]
    azimuth = np.arange(_AZIMUTH)[None, :] * (2.0 * np.pi / _AZIMUTH)
    unit = np.stack(
        [
            np.cos(polar) * np.ones_like(azimuth),
            np.sin(polar) * np.sin(azimuth),
            np.sin(polar) * np.cos(azimuth),
        ]
    )
    return unit, polar


def _sphere_noise(
    rng: np.random.Generator, unit: NDArray[np.float64], frequency: float
) -> NDArray[np.float64]:
    """A unit-variance Gaussian field over directions; ``frequency`` is bumps per radian."""
    waves = (rng.standard_normal((_WAVES, 3)) * frequency).astype(np.float32)
    phase = rng.uniform(0.0, 2.0 * np.pi, _WAVES).astype(np.float32)
    # Single precision: thousands of cosines, and no one sees a radius to the millionth. Written
    # out, because a product this small costs BLAS more in threads than in arithmetic.
    z, y, x = unit.astype(np.float32)
    a, b, c = (waves[:, axis, None, None] for axis in range(3))
    angle = a * z + b * y + c * x + phase[:, None, None]
    out: NDArray[np.float64] = np.cos(angle).sum(axis=0, dtype=np.float64) * np.sqrt(2.0 / _WAVES)
    return out


def _random_rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    rotation: NDArray[np.float64] = q * np.sign(np.diag(r))
    return rotation


def draw_radius_field(
    rng: np.random.Generator,
    diameter_mm: float,
    *,
    lobulation: float = 0.12,
    spiculation: float = 0.0,
    elongation: float = 0.18,
) -> RadiusField:
    """Draw a random lesion surface of exactly the volume of a sphere of ``diameter_mm``.

    Args:
        rng: source of randomness.
        diameter_mm: equivalent diameter in mm.
        lobulation: relative standard deviation of the broad bumps of the radius.
        spiculation: the same for fine, sharp ones, in lesions of up to 14 mm.
        elongation: standard deviation of the log axis ratios of the underlying ellipsoid.

    Raises:
        ValueError: the diameter is not positive.
    """
    if not np.isfinite(diameter_mm) or diameter_mm <= 0:
        raise ValueError(f"The lesion diameter must be positive, not {diameter_mm!r} mm.")
    unit, polar = _directions()
    axes = np.exp(np.clip(rng.standard_normal(3) * elongation, -0.6, 0.6))
    turned = np.tensordot(_random_rotation(rng), unit, axes=1)
    ellipsoid = 1.0 / np.sqrt(((turned / axes[:, None, None]) ** 2).sum(axis=0))
    bumps = lobulation * _sphere_noise(rng, unit, 1.7)
    bumps += 0.45 * lobulation * _sphere_noise(rng, unit, 4.0)
    # Spicules are a few millimetres long, however large the lesion is that has them.
    larger = max(1.0, diameter_mm / _SPICULATED_MM)
    spikes = spiculation / larger * _sphere_noise(rng, unit, 9.0 * np.sqrt(larger))
    shape = ellipsoid * np.exp(np.clip(bumps + spikes, -0.7, 0.7))
    # Simpson's weights over the polar angle; the azimuth is periodic, so plain sums are exact.
    weights = np.ones(_POLAR)
    weights[1:-1:2], weights[2:-1:2] = 4.0, 2.0
    area = weights[:, None] * np.sin(polar) * (np.pi / (_POLAR - 1) / 3.0) * 2 * np.pi / _AZIMUTH
    volume = float((area * shape**3).sum() / 3.0)
    radius = shape * (np.pi * diameter_mm**3 / 6.0 / volume) ** (1.0 / 3.0)
    d_polar = np.gradient(radius, np.pi / (_POLAR - 1), axis=0)
    ring = np.concatenate([radius[:, -1:], radius, radius[:, :1]], axis=1)
    d_azimuth = (ring[:, 2:] - ring[:, :-2]) / (4.0 * np.pi / _AZIMUTH)
    sine = np.maximum(np.sin(polar), np.sin(np.pi / (_POLAR - 1)))
    steepness = (d_polar / radius) ** 2 + (d_azimuth / (radius * sine)) ** 2
    slope = 1.0 / np.sqrt(1.0 + steepness)
    return RadiusField(diameter_mm, radius.astype(np.float32), slope.astype(np.float32))


def draw_diameter(rng: np.random.Generator, low_mm: float, high_mm: float) -> float:
    """A log-uniform diameter in mm: as many lesions between 5 and 10 mm as between 10 and 20."""
    if not 0 < low_mm <= high_mm:
        raise ValueError(f"The diameter range {low_mm} to {high_mm} mm is empty or reversed.")
    return float(np.exp(rng.uniform(np.log(low_mm), np.log(high_mm))))


def _volume_keeping_shift(diameter_mm: float, edge_mm: float) -> float:
    """How far (mm) to pull the surface in so that a soft edge keeps the volume.

    A sphere of radius q with the edge profile sigmoid(-(r - q) / t) holds
    ``4/3 pi (q**3 + pi**2 t**2 q)``; q solves that for the wanted volume.
    """
    radius, pull = 0.5 * diameter_mm, np.pi**2 * edge_mm**2
    q = radius
    for _ in range(30):
        q -= (q**3 + pull * q - radius**3) / (3.0 * q**2 + pull)
    return radius - q


def _soften(
    distance: Field, diameter_mm: float, edge_mm: float, sub_ml: float
) -> tuple[Field, Field]:
    """Shifted distance and ``sigmoid(-distance / edge)``, with the volume of the wanted sphere.

    The sigmoid is cut off at ``_FAINTEST``, so that a lesion ends somewhere. The closed form is
    exact for balls; small lesions, whose bumps are as wide as their edge and whose faint tail is
    a good part of them, get a few Newton steps on the drawn volume.
    """
    distance = distance + np.float32(_volume_keeping_shift(diameter_mm, edge_mm))
    for step in range(4):
        sub = 1.0 / (1.0 + np.exp(np.clip(distance / edge_mm, -30.0, 30.0)))
        coverage = np.maximum(sub - _FAINTEST, 0.0) / (1.0 - _FAINTEST)
        if step == 3 or diameter_mm > _SMALL_MM:
            break
        excess = float(coverage.sum()) * sub_ml - sphere_ml(diameter_mm)
        slope = float((sub * (1.0 - sub))[sub > _FAINTEST].sum()) * sub_ml / edge_mm
        distance = distance + np.float32(excess / max(slope, 1e-9))
    return distance.astype(np.float32), coverage.astype(np.float32)


def rasterize(
    field: RadiusField,
    spacing: Spacing,
    center: tuple[float, float, float],
    *,
    edge_mm: float = 1.0,
) -> SoftLesion:
    """Draw ``field`` on a voxel grid.

    Each voxel gets the mean over its sub-voxels of ``sigmoid(-distance / edge_mm)``: the soft
    edge of the lesion and the partial volume of a thick slice in one. The hard mask holds the
    most covered voxels, as many as the lesion's volume asks for, so that its equivalent
    diameter is right on any grid.

    Args:
        field: the surface.
        spacing: voxel size (x, y, z) in mm.
        center: lesion center in continuous voxel indices (z, y, x).
        edge_mm: width t of the soft edge in mm (10 to 90 % of the change lies within 4.4 t).
    """
    step = zyx(spacing)
    edge = min(edge_mm, 0.2 * field.diameter_mm)
    reach = field.reach_mm + edge * float(np.log(1.0 / _FAINTEST))
    start = tuple(int(np.floor(c - reach / s)) for c, s in zip(center, step, strict=True))
    stop = tuple(int(np.ceil(c + reach / s)) + 1 for c, s in zip(center, step, strict=True))
    box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    fine = [int(np.clip(np.ceil(s / _FINEST_MM), 1, 5)) for s in step]
    axes = []
    for c, a, b, s, n in zip(center, box.start, box.stop, step, fine, strict=True):
        index = a - 0.5 + (np.arange((b - a) * n) + 0.5) / n
        axes.append(((index - c) * s).astype(np.float32))
    points = np.stack(np.meshgrid(*axes, indexing="ij"))
    sub_ml = voxel_ml(spacing) / float(np.prod(fine))
    distance, sub = _soften(field.signed_distance(points), field.diameter_mm, edge, sub_ml)
    z, y, x = box.shape
    blocks = (z, fine[0], y, fine[1], x, fine[2])
    coverage = sub.reshape(blocks).mean(axis=(1, 3, 5))
    depth = -distance.reshape(blocks).mean(axis=(1, 3, 5))
    wanted = max(1, round(sphere_ml(field.diameter_mm) / voxel_ml(spacing)))
    mask = _most_covered(coverage, wanted)
    return SoftLesion(
        box=box,
        coverage=coverage.astype(np.float32),
        mask=mask,
        depth_mm=depth.astype(np.float32),
        diameter_mm=field.diameter_mm,
        edge_mm=edge,
        center=center,
    )


def _most_covered(coverage: NDArray[np.floating], count: int) -> MaskArray:
    """The ``count`` most covered voxels; ties fall in array order, so the answer is repeatable."""
    flat = coverage.ravel()
    count = min(count, flat.size)
    least = np.partition(flat, flat.size - count)[flat.size - count]
    mask: MaskArray = flat > least
    ties = np.flatnonzero(flat == least)
    mask[ties[: count - int(mask.sum())]] = True
    return mask.reshape(coverage.shape)
