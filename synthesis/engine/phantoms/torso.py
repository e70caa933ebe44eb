"""Parts every torso has: skin, fat, muscle, spine, ribs, and the couch it lies on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthesis.engine.arrays import Field
from synthesis.engine.phantoms.scene import Cut, Scene, ellipsoid_distance, smooth_noise

FAT, MUSCLE, SKIN, CARTILAGE = -105.0, 58.0, 30.0, 95.0


@dataclass(frozen=True)
class Torso:
    """The drawn trunk: signed distances (mm, whole volume) to its skin and to its inner cavity."""

    whole: Cut
    skin: Field
    cavity: Field
    half_width: float
    half_depth: float
    spine_y: float


def draw_torso(
    rng: np.random.Generator,
    scene: Scene,
    *,
    half_width: float,
    half_depth: float,
    fat_mm: float,
    wall_mm: float,
) -> Torso:
    """Paint couch, skin, fat and muscle wall; the cavity is left filled with fat."""
    whole: Cut = (slice(0, scene.shape[0]), slice(0, scene.shape[1]), slice(0, scene.shape[2]))
    x, y = scene.x, scene.y
    _couch(scene, half_depth)
    # A rounded box rather than an ellipse: backs are flat.
    ax, ay = np.abs(x) / half_width, np.abs(y - 2.0) / half_depth
    level = rounded_box(ax, ay)
    scale = 0.5 * (half_width + half_depth) * (0.8 + 0.2 * level)
    skin: Field = ((level - 1.0) * scale).astype(np.float32)
    texture = smooth_noise(rng, scene.shape, tuple(max(3, n // 4) for n in scene.shape))  # type: ignore[arg-type]
    scene.paint(whole, skin, SKIN)
    scene.paint(whole, skin + 2.2, FAT + 7.0 * texture)
    # More fat at the flanks and back, less in front.
    fat = fat_mm * (1.0 + 0.35 * np.clip(y / half_depth, -1.0, 1.0))
    wall = skin + fat
    scene.paint(whole, wall.astype(np.float32), MUSCLE + 5.0 * texture)
    cavity = (skin + fat + wall_mm).astype(np.float32)
    scene.paint(whole, cavity, FAT + 8.0 * texture)
    spine_y = half_depth - 48.0
    _back_muscles(scene, whole, spine_y, texture)
    return Torso(whole, skin, cavity, half_width, half_depth, spine_y)


def rounded_box(a: NDArray[np.floating], b: NDArray[np.floating]) -> Field:
    """``(a**2.5 + b**2.5) ** 0.4`` for non-negative a, b: between an ellipse and a box.

    Through square roots, which are several times faster than powers on a whole volume.
    """
    total = a * a * np.sqrt(a) + b * b * np.sqrt(b)
    out: Field = np.exp(np.float32(0.4) * np.log(np.maximum(total, 1e-9))).astype(np.float32)
    return out


def _couch(scene: Scene, half_depth: float) -> None:
    x, y = scene.axes[2][None, None, :], scene.axes[1][None, :, None]
    surface = y - (half_depth + 9.0 + x**2 / 1400.0 * -1.0)
    shell = np.abs(np.abs(surface - 9.0) - 9.0) - 1.0
    inside = np.broadcast_to(np.abs(x) < 185.0, scene.shape)
    weight = np.where(inside, np.clip(0.5 - shell, 0.0, 1.0), 0.0)
    scene.hu += weight * (-350.0 - scene.hu)


def _back_muscles(scene: Scene, whole: Cut, spine_y: float, texture: Field) -> None:
    x, y = np.abs(scene.x), scene.y
    columns = ellipsoid_distance(
        x, y, np.zeros_like(x), (29.0, spine_y + 26.0, 0.0), (25.0, 18.0, 1e3)
    )
    scene.paint(whole, columns, MUSCLE + 6.0 * texture)


def draw_spine(rng: np.random.Generator, scene: Scene, spine_y: float) -> None:
    """Vertebrae with discs, arches and canal; drawn late, over whatever lies around them."""
    cut = scene.cut((-48.0, spine_y - 26.0, -1e4), (48.0, spine_y + 60.0, 1e4))
    x, y, z = scene.coordinates(cut)
    flat = np.zeros_like(x)
    pitch = float(rng.uniform(27.0, 33.0))
    phase = (z + rng.uniform(0.0, pitch)) % pitch
    middle = np.abs(phase - 0.5 * pitch)
    body = ellipsoid_distance(x, y, flat, (0.0, spine_y, 0.0), (21.0, 17.0, 1e3))
    body = body + 1.6 * (1.0 - np.clip((0.5 * pitch - middle) / 9.0, 0.0, 1.0)) * -1.0
    texture = smooth_noise(rng, _size(cut), tuple(max(3, n // 3) for n in _size(cut)))  # type: ignore[arg-type]
    disc = middle > 0.5 * pitch - 3.5
    marrow = np.where(disc, CARTILAGE, 165.0 + 35.0 * texture).astype(np.float32)
    shell = np.where(disc, CARTILAGE, 480.0).astype(np.float32)
    arch_x = np.abs(x)
    process = ellipsoid_distance(
        x, y, np.clip(middle - 6.0, 0.0, None), (0.0, spine_y + 41.0, 0.0), (3.6, 15.0, 5.0)
    )
    lamina = (
        np.abs(ellipsoid_distance(x, y, flat, (0.0, spine_y + 22.0, 0.0), (13.0, 11.0, 1e3))) - 2.6
    )
    wing = ellipsoid_distance(
        arch_x,
        y,
        np.clip(middle - 3.0, 0.0, None),
        (28.0, spine_y + 20.0, 0.0),
        (17.0, 4.2, 5.0),
        turn=0.25,
    )
    bony = np.minimum(np.minimum(process, wing), np.where(middle < 11.0, lamina, 3.0))
    scene.paint(cut, bony.astype(np.float32), 330.0 + 60.0 * texture, "")
    canal = ellipsoid_distance(x, y, flat, (0.0, spine_y + 22.5, 0.0), (9.5, 8.0, 1e3))
    scene.paint(cut, canal, -20.0, "")
    scene.paint(cut, canal + 3.0, 38.0, "")
    scene.paint(cut, body, shell, "")
    scene.paint(cut, body + 1.8, marrow, "")


def draw_ribs(
    rng: np.random.Generator, scene: Scene, torso: Torso, *, lowest: float, depth_mm: float
) -> None:
    """Oblique ribs in the wall, ``depth_mm`` outside the cavity, above ``lowest`` (z, mm)."""
    x, y, z = scene.x, scene.y, scene.z
    around = np.arctan2(np.abs(x) / torso.half_width, -y / torso.half_depth)
    pitch = 27.0
    # Ribs fall from the back (pi) to the front (0).
    height = z - 30.0 * (around - 1.5) + float(rng.uniform(0.0, pitch))
    across = (np.abs(height % pitch - 0.5 * pitch) - 0.0) / 5.6
    through = (torso.cavity - depth_mm) / 3.4
    distance = (np.sqrt(across**2 + through**2) - 1.0) * 3.6
    barred = (around < 0.55) | (z < lowest - 22.0 * (around - 2.0))
    distance = np.where(barred, 4.0, distance).astype(np.float32)
    scene.paint(torso.whole, distance, 420.0)
    scene.paint(torso.whole, distance + 1.6, 190.0)


def _size(cut: Cut) -> tuple[int, int, int]:
    z, y, x = (s.stop - s.start for s in cut)
    return (z, y, x)
