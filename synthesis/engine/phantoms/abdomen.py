"""An abdomen in the portal-venous phase."""

from __future__ import annotations

import itertools

import numpy as np

from synthesis.engine.phantoms.scene import (
    Point,
    Scene,
    Segment,
    ellipsoid_distance,
    grow_tree,
    smooth_noise,
    smooth_union,
    tree_distance,
)
from synthesis.engine.phantoms.torso import MUSCLE, Torso, draw_ribs, draw_spine, draw_torso

_BLOOD = 155.0


def draw_abdomen(rng: np.random.Generator, scene: Scene) -> None:
    """Paint an abdomen: liver, kidneys, pancreas and spleen are labelled."""
    fat = float(rng.uniform(12.0, 24.0))
    torso = draw_torso(
        rng,
        scene,
        half_width=float(rng.uniform(152.0, 168.0)),
        half_depth=float(rng.uniform(106.0, 118.0)),
        fat_mm=fat,
        wall_mm=11.0,
    )
    _psoas(scene, torso)
    _bowel(rng, scene, torso)
    _stomach(rng, scene)
    _spleen(rng, scene, torso)
    _liver(rng, scene, torso)
    _kidneys(rng, scene, torso)
    _pancreas(rng, scene)
    _great_vessels(scene, torso)
    _chest_floor(rng, scene, torso)
    draw_spine(rng, scene, torso.spine_y)
    draw_ribs(rng, scene, torso, lowest=-10.0, depth_mm=5.0)


def _jitter(rng: np.random.Generator, point: Point, mm: float) -> Point:
    x, y, z = (float(p + rng.normal(0.0, mm)) for p in point)
    return (x, y, z)


def _scaled(rng: np.random.Generator, radii: Point, spread: float = 0.06) -> Point:
    factor = float(np.exp(rng.normal(0.0, spread)))
    return (radii[0] * factor, radii[1] * factor, radii[2] * factor)


def _psoas(scene: Scene, torso: Torso) -> None:
    cut = scene.cut((-70.0, -20.0, -1e4), (70.0, 110.0, 20.0))
    x, y, z = scene.coordinates(cut)
    thick = np.clip(10.0 - z * 0.13, 4.0, 26.0)
    gap = np.sqrt((np.abs(x) - 36.0) ** 2 + (y - torso.spine_y + 2.0) ** 2)
    scene.paint(cut, (gap - thick).astype(np.float32), MUSCLE + 4.0)


def _liver(rng: np.random.Generator, scene: Scene, torso: Torso) -> None:
    right = _jitter(rng, (-72.0, -2.0, 22.0), 3.0)
    left = _jitter(rng, (8.0, -48.0, 42.0), 4.0)
    cut = scene.cut((-170.0, -110.0, -95.0), (95.0, 105.0, 1e4))
    x, y, z = scene.coordinates(cut)
    lobe = ellipsoid_distance(x, y, z, right, _scaled(rng, (74.0, 84.0, 88.0)), turn=0.2)
    wing = ellipsoid_distance(x, y, z, left, _scaled(rng, (72.0, 36.0, 46.0)), turn=-0.12)
    liver = smooth_union(lobe, wing, 22.0)
    # The visceral face: a slope that rises to the left and leaves room for kidney and stomach.
    slope = (x * 0.45 + y * 0.35 - z * 0.85 - 46.0) / 1.1
    liver = np.maximum(liver, slope)
    hollow = ellipsoid_distance(x, y, z, (-52.0, 62.0, -42.0), (42.0, 38.0, 62.0))
    liver = np.maximum(liver, -hollow)
    liver = np.maximum(liver, torso.cavity[cut] + 2.0).astype(np.float32)
    base = float(rng.uniform(98.0, 118.0))
    grain = smooth_noise(rng, _size(x), (max(3, x.shape[0] // 3), 28, 28))
    scene.paint(cut, liver, base + 2.5 * grain, "liver")
    portal = grow_tree(
        rng, (-24.0, 2.0, 16.0), (-1.0, -0.1, 0.2), 5.4, levels=6, length=34.0, spread=0.42
    )
    portal += grow_tree(
        rng, (-20.0, -6.0, 26.0), (0.4, -1.0, 0.4), 4.2, levels=5, length=26.0, spread=0.42
    )
    veins: list[Segment] = []
    for aim in ((-1.0, 0.05, -0.3), (-0.65, -0.9, -0.35), (0.55, -1.0, -0.2)):
        veins += grow_tree(rng, (-20.0, 26.0, 78.0), aim, 4.6, levels=5, length=36.0, spread=0.34)
    vessels = np.maximum(tree_distance(scene, cut, portal + veins), liver + 3.0)
    scene.paint(cut, vessels, base + float(rng.uniform(42.0, 58.0)))
    fissure = np.maximum(np.abs(x * 0.8 + y * 0.25 + 12.0) - 1.4, -y - 62.0 + z * 0.2)
    fissure = np.maximum(fissure, liver + 1.0)
    fissure = np.maximum(fissure, y + 34.0).astype(np.float32)
    scene.paint(cut, fissure, -60.0, "")
    bladder = ellipsoid_distance(x, y, z, (-46.0, -38.0, -22.0), (14.0, 19.0, 25.0), turn=0.5)
    scene.paint(cut, bladder, 40.0, "")
    scene.paint(cut, bladder + 1.8, 8.0, "")


def _spleen(rng: np.random.Generator, scene: Scene, torso: Torso) -> None:
    center = _jitter(rng, (98.0, 30.0, 38.0), 3.0)
    cut = scene.around(center, 66.0)
    x, y, z = scene.coordinates(cut)
    body = ellipsoid_distance(x, y, z, center, _scaled(rng, (34.0, 52.0, 52.0)), turn=0.45)
    hilum = ellipsoid_distance(
        x, y, z, (center[0] - 34.0, center[1] - 10.0, center[2]), (26.0, 36.0, 60.0), turn=0.4
    )
    spleen = np.maximum(np.maximum(body, -hilum), torso.cavity[cut] + 2.0).astype(np.float32)
    scene.paint(cut, spleen, float(rng.uniform(112.0, 128.0)), "spleen")


def _kidneys(rng: np.random.Generator, scene: Scene, torso: Torso) -> None:
    cortex = float(rng.uniform(175.0, 200.0))
    for side, drop in ((1.0, 0.0), (-1.0, -10.0)):
        center = _jitter(rng, (side * 60.0, torso.spine_y - 8.0, -28.0 + drop), 3.0)
        radii = _scaled(rng, (27.0, 26.0, 56.0))
        cut = scene.around(center, 66.0)
        x, y, z = scene.coordinates(cut)
        # Kidneys lean outwards towards their lower pole and open to the middle.
        lean = x + side * 0.16 * (z - center[2])
        body = ellipsoid_distance(lean, y, z, center, radii, turn=side * 0.5)
        notch = (center[0] - side * 25.0, center[1] - 9.0, center[2])
        hilum = ellipsoid_distance(lean, y, z, notch, (15.0, 12.0, 21.0))
        kidney = np.maximum(body, -hilum).astype(np.float32)
        wave = smooth_noise(rng, _size(x), (8, 9, 9))
        rind = np.clip((kidney + 7.0 + 2.5 * wave) / 2.0, 0.0, 1.0)
        tissue = cortex - 28.0 * (1.0 - rind)
        scene.paint(cut, kidney, tissue.astype(np.float32), "kidney")
        heart = (center[0] - side * 7.0, center[1] - 3.0, center[2])
        sinus = ellipsoid_distance(lean, y, z, heart, (10.0, 9.0, 27.0), turn=side * 0.5)
        sinus = sinus + 2.6 * wave
        scene.paint(cut, sinus.astype(np.float32), -70.0, "")
        scene.paint(cut, (sinus + 4.0 + 2.0 * wave).astype(np.float32), 35.0, "")
        vein = tree_distance(scene, cut, [(heart, (side * 12.0, 34.0, center[2] + 6.0), 4.5, 5.0)])
        scene.paint(cut, np.maximum(vein, -kidney - 6.0), _BLOOD, None)


def _pancreas(rng: np.random.Generator, scene: Scene) -> None:
    path = [
        (_jitter(rng, (-30.0, 6.0, -34.0), 2.0), 13.0),
        (_jitter(rng, (-22.0, 0.0, -16.0), 2.0), 15.0),
        (_jitter(rng, (2.0, -16.0, -4.0), 2.0), 11.0),
        (_jitter(rng, (32.0, -10.0, 6.0), 2.0), 11.5),
        (_jitter(rng, (62.0, 12.0, 16.0), 2.0), 11.0),
        (_jitter(rng, (84.0, 24.0, 24.0), 2.0), 8.0),
    ]
    cut = scene.cut((-60.0, -45.0, -65.0), (110.0, 60.0, 55.0))
    segments = [(a[0], b[0], a[1], b[1]) for a, b in itertools.pairwise(path)]
    tube = tree_distance(scene, cut, segments)
    x = scene.x[cut]
    lobules = smooth_noise(rng, _size(x), (max(3, x.shape[0] * 2 // 3), 30, 32))
    pancreas = (tube + 1.4 + 1.5 * lobules).astype(np.float32)
    level = float(rng.uniform(88.0, 104.0))
    fatty = np.clip(lobules - 1.1, 0.0, 1.0)
    scene.paint(cut, pancreas, (level - 70.0 * fatty).astype(np.float32), "pancreas")
    splenic = [(p[0][0], p[0][1] + 11.0, p[0][2] + 2.0) for p in path[2:]]
    vein = [(a, b, 4.2, 3.8) for a, b in itertools.pairwise(splenic)]
    vein.append((splenic[0], (-20.0, 2.0, 14.0), 5.5, 6.0))
    scene.paint(cut, tree_distance(scene, cut, vein), _BLOOD + 5.0, "")


def _stomach(rng: np.random.Generator, scene: Scene) -> None:
    center = _jitter(rng, (58.0, -36.0, 44.0), 4.0)
    cut = scene.cut((-50.0, -110.0, -40.0), (125.0, 40.0, 115.0))
    x, y, z = scene.coordinates(cut)
    body = ellipsoid_distance(x, y, z, center, (42.0, 38.0, 50.0), turn=0.3)
    antrum = ellipsoid_distance(x, y, z, (14.0, -44.0, 6.0), (46.0, 18.0, 20.0), turn=-0.15)
    wall = smooth_union(body, antrum, 16.0)
    scene.paint(cut, wall, 75.0, "")
    surface = scene.axes[1][cut[1]][None, :, None]
    content = np.where(surface < center[1] - rng.uniform(4.0, 16.0), -980.0, 18.0)
    scene.paint(cut, (wall + 4.0).astype(np.float32), content.astype(np.float32), "")


def _bowel(rng: np.random.Generator, scene: Scene, torso: Torso) -> None:
    """Coiled small bowel in the lower front, colon at both flanks."""
    cut = scene.cut((-135.0, -105.0, -1e4), (135.0, 60.0, 30.0))
    wall = np.full(_size(scene.x[cut]), 5.0, np.float32)
    for k in range(15):
        point = np.asarray(
            [-80.0 + 160.0 * ((k * 0.382) % 1.0), rng.uniform(-78.0, 8.0), -128.0 + 8.5 * k]
        )
        aim, bits = rng.standard_normal(3) * (1.0, 1.0, 0.5), []
        size = float(rng.uniform(9.5, 12.5))
        for _ in range(8):
            aim = 0.75 * aim / np.linalg.norm(aim) + rng.normal(0.0, 0.5, 3) * (1.0, 1.0, 0.5)
            follow = point + 16.0 * aim / np.linalg.norm(aim)
            bits.append((_as_point(point), _as_point(follow), size, size))
            point = follow
        wall = np.minimum(wall, tree_distance(scene, cut, bits))
    colon: list[Segment] = []
    for side, low, top in ((-104.0, -130.0, -45.0), (104.0, -130.0, 5.0)):
        lane = [
            (side + rng.normal(0.0, 3.0), 8.0 + rng.normal(0.0, 4.0), z)
            for z in np.arange(low, top, 16.0)
        ]
        radii = rng.uniform(14.0, 21.0, len(lane))
        colon += [
            (lane[k], lane[k + 1], float(radii[k]), float(radii[k + 1]))
            for k in range(len(lane) - 1)
        ]
    across = [(x, -62.0 - 14.0 * np.cos(x / 60.0), -42.0 + 0.25 * x) for x in range(-100, 101, 20)]
    colon += [(a, b, 15.0, 16.5) for a, b in itertools.pairwise(across)]
    large = tree_distance(scene, cut, colon)
    roots = grow_tree(
        rng, (-4.0, 8.0, -28.0), (0.0, -0.8, -0.8), 3.6, levels=6, length=24.0, spread=0.6
    )
    scene.paint(cut, tree_distance(scene, cut, roots), _BLOOD)
    inside = torso.cavity[cut] + 3.0
    lumps = smooth_noise(rng, _size(wall), (20, 28, 34))
    up = scene.axes[1][cut[1]][None, :, None]
    wall, large = np.maximum(wall, inside), np.maximum(large, inside)
    scene.paint(cut, wall, 85.0)
    fluid = np.where(lumps > 1.5, -700.0, 25.0 + 12.0 * lumps)
    scene.paint(cut, wall + 2.8, fluid.astype(np.float32))
    scene.paint(cut, large, 65.0)
    stool = np.where((up < 2.0 + 9.0 * lumps) | (lumps > 1.2), -850.0, 35.0 + 45.0 * lumps)
    scene.paint(cut, large + 2.6, stool.astype(np.float32))


def _great_vessels(scene: Scene, torso: Torso) -> None:
    back = torso.spine_y - 29.0
    cut = scene.cut((-60.0, -40.0, -1e4), (60.0, 80.0, 1e4))
    x, y, z = scene.coordinates(cut)
    aorta = np.sqrt((x - 9.0) ** 2 + (y - back) ** 2) - np.clip(10.0 + z * 0.015, 8.0, 12.5)
    cava = np.sqrt(((x + 20.0) / 1.25) ** 2 + (y - back + 2.0 + z * 0.04) ** 2) - 10.5
    scene.paint(cut, cava.astype(np.float32), _BLOOD - 8.0, "")
    rim = np.where(np.abs(aorta + 0.6) < 0.8, 60.0, 0.0)
    scene.paint(cut, aorta.astype(np.float32), (_BLOOD + rim).astype(np.float32), "")
    trunk: list[Segment] = [
        ((9.0, back - 8.0, 2.0), (6.0, back - 30.0, -22.0), 4.0, 3.6),
        ((6.0, back - 30.0, -22.0), (0.0, back - 40.0, -80.0), 3.6, 2.6),
        ((-8.0, back - 30.0, -14.0), (-10.0, back - 42.0, -80.0), 5.6, 4.0),
    ]
    scene.paint(cut, tree_distance(scene, cut, trunk), _BLOOD, "")


def _chest_floor(rng: np.random.Generator, scene: Scene, torso: Torso) -> None:
    """Lung bases and heart above the two domes of the diaphragm."""
    cut = scene.cut((-170.0, -115.0, 20.0), (170.0, 115.0, 1e4))
    x, y, z = scene.coordinates(cut)
    side = np.where(x < 0, -70.0, 72.0)
    peak = np.where(x < 0, 112.0, 104.0)
    dome = peak - ((x - side) / 75.0) ** 2 * 48.0 - ((y + 18.0) / 88.0) ** 2 * 50.0
    cavity = torso.cavity[cut] + 1.0
    lung = np.maximum(cavity, (dome - z) * 0.7)
    # The middle belongs to spine, heart and their fat.
    middle = 30.0 - np.abs(x) + np.clip(-y, 0.0, 40.0) * 0.25
    lung = np.maximum(lung, middle)
    scene.paint(cut, (lung - 2.5).astype(np.float32), MUSCLE, None)
    scene.paint(cut, lung.astype(np.float32), -860.0, "")
    vessels: list[Segment] = []
    for root in ((-48.0, 30.0, 120.0), (50.0, 32.0, 120.0)):
        aim = (np.sign(root[0]) * 0.6, 0.5, -0.7)
        vessels += grow_tree(rng, root, aim, 3.0, levels=5, length=20.0)
    twigs = np.maximum(tree_distance(scene, cut, vessels), lung + 1.0)
    scene.paint(cut, twigs, 20.0)
    heart = ellipsoid_distance(x, y, z, (26.0, -34.0, 122.0), (62.0, 50.0, 34.0), turn=0.5)
    heart = np.maximum(heart, cavity + 3.0)
    scene.paint(cut, heart, 120.0, "")


def _size(array: np.ndarray) -> tuple[int, int, int]:
    z, y, x = array.shape
    return (z, y, x)


def _as_point(values: np.ndarray) -> Point:
    return (float(values[0]), float(values[1]), float(values[2]))
