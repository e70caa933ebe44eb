"""A chest with contrast medium."""

from __future__ import annotations

import numpy as np

from synthesis.engine.arrays import Field
from synthesis.engine.phantoms.scene import (
    Scene,
    Segment,
    ellipsoid_distance,
    grow_tree,
    smooth_noise,
    smooth_union,
    tree_distance,
)
from synthesis.engine.phantoms.torso import (
    FAT,
    MUSCLE,
    Torso,
    draw_ribs,
    draw_spine,
    draw_torso,
    rounded_box,
)

_BLOOD = 165.0
#: Where the vessels of each lung head for (outwards, back, up).
_LOBES = (
    (0.6, -0.7, 0.6),
    (0.9, -0.2, 0.25),
    (0.7, 0.6, 0.2),
    (0.45, 0.7, -0.7),
    (0.6, -0.5, -0.5),
    (0.4, 0.5, 0.9),
    (0.8, 0.3, -0.35),
)


def draw_chest(rng: np.random.Generator, scene: Scene) -> None:
    """Paint a chest; both lungs together are labelled ``lung``."""
    torso = draw_torso(
        rng,
        scene,
        half_width=float(rng.uniform(160.0, 174.0)),
        half_depth=float(rng.uniform(104.0, 116.0)),
        fat_mm=float(rng.uniform(10.0, 18.0)),
        wall_mm=17.0,
    )
    _shoulder_muscles(rng, scene, torso)
    _lungs(rng, scene, torso)
    _upper_abdomen(rng, scene, torso)
    _mediastinum(rng, scene, torso)
    draw_spine(rng, scene, torso.spine_y)
    draw_ribs(rng, scene, torso, lowest=-400.0, depth_mm=5.0)
    _sternum(scene, torso)


def _shoulder_muscles(rng: np.random.Generator, scene: Scene, torso: Torso) -> None:
    """Fat planes between the wall's muscles, and the shoulder blades."""
    x, y, z = np.abs(scene.x), scene.y, scene.z
    wave = smooth_noise(rng, scene.shape, (5, 8, 8))
    plane = np.abs(torso.cavity - 9.5 + 1.5 * wave) - 0.9
    plane = np.maximum(plane, 70.0 - x)
    scene.paint(torso.whole, plane.astype(np.float32), FAT)
    blade = ellipsoid_distance(x, y, z, (104.0, 66.0, 70.0), (4.0, 34.0, 70.0), turn=0.95)
    scene.paint(torso.whole, blade, 420.0)
    scene.paint(torso.whole, blade + 1.6, 200.0)


def _lungs(rng: np.random.Generator, scene: Scene, torso: Torso) -> None:
    whole = torso.whole
    x, y, z = scene.x, scene.y, scene.z
    side = np.where(x < 0, -1.0, 1.0)
    width = torso.half_width - 36.0
    center_x = side * (width * 0.56)
    # Narrow at the top, wide at the base; the domes of the diaphragm cut them below.
    taper = 1.0 - 0.26 * np.clip((z - 10.0) / 110.0, -0.3, 1.0) ** 2
    ax = np.abs(x - center_x) / (width * 0.54 * taper)
    ay = np.abs(y - 2.0) / (82.0 * taper)
    lung = (rounded_box(ax, ay) - 1.0) * 60.0
    lung = np.maximum(lung, (_dome(x, y, width) - z) * 0.8)
    lung = np.maximum(lung, torso.cavity + 1.0).astype(np.float32)
    dependent = 45.0 * np.clip((y + 80.0) / 160.0, 0.0, 1.0)
    patchy = smooth_noise(rng, scene.shape, tuple(max(3, n // 3) for n in scene.shape))  # type: ignore[arg-type]
    air = float(rng.uniform(-890.0, -850.0)) + dependent + 16.0 * patchy
    scene.paint(whole, (lung - 1.2).astype(np.float32), MUSCLE)
    scene.paint(whole, lung, air.astype(np.float32), "lung")
    vessels: list[Segment] = []
    for sign in (-1.0, 1.0):
        for aim in _LOBES:
            root = (sign * 36.0, 6.0 + 6.0 * aim[1], 4.0 + 12.0 * aim[2])
            heading = (sign * aim[0], aim[1], aim[2])
            vessels += grow_tree(
                rng, root, heading, 5.2, levels=7, length=28.0, spread=0.36, shrink=0.78
            )
    tree = np.maximum(tree_distance(scene, whole, vessels), lung + 2.0)
    scene.paint(whole, tree, 45.0)
    for sign in (-1.0, 1.0):
        start = (sign * 80.0, 35.0, 60.0)
        slope = 0.75 * (y - start[1]) + (z - 5.0)
        fissure = np.maximum(np.abs(slope) - 0.5, lung + 0.5)
        fissure = np.where(x * sign > 20.0, fissure, 3.0).astype(np.float32)
        scene.paint(whole, fissure, -700.0)


def _dome(x: Field, y: Field, width: float) -> Field:
    """Height (mm) of the diaphragm over both sides."""
    center = np.where(x < 0, -0.56, 0.56) * width
    peak = np.where(x < 0, -56.0, -68.0)
    out: Field = (
        peak - ((x - center) / 62.0) ** 2 * 26.0 - ((y + 10.0) / 80.0) ** 2 * 36.0
    ).astype(np.float32)
    return out


def _upper_abdomen(rng: np.random.Generator, scene: Scene, torso: Torso) -> None:
    """Liver, spleen and stomach under the domes."""
    cut = scene.cut((-170.0, -115.0, -1e4), (170.0, 115.0, -40.0))
    x, y, z = scene.coordinates(cut)
    below = z - _dome(x, y, torso.half_width - 36.0) + 1.5
    cavity = torso.cavity[cut] + 1.5
    liver = np.maximum(below * 0.8, x + 18.0 + 0.35 * y)
    wing = ellipsoid_distance(x, y, z, (4.0, -44.0, -118.0), (60.0, 36.0, 42.0))
    organs = np.maximum(smooth_union(liver.astype(np.float32), wing, 18.0), cavity)
    scene.paint(cut, organs.astype(np.float32), 105.0, "")
    veins = grow_tree(rng, (-20.0, 20.0, -90.0), (-1.0, -0.1, -0.2), 4.5, levels=5, length=32.0)
    scene.paint(cut, np.maximum(tree_distance(scene, cut, veins), organs + 3.0), 150.0)
    spleen = ellipsoid_distance(x, y, z, (92.0, 34.0, -118.0), (34.0, 46.0, 46.0), turn=0.4)
    spleen = np.maximum(spleen, torso.cavity[cut] + 1.5)
    scene.paint(cut, spleen, 118.0, "")
    stomach = ellipsoid_distance(x, y, z, (52.0, -20.0, -122.0), (38.0, 44.0, 46.0))
    stomach = np.maximum(stomach, torso.cavity[cut] + 2.0)
    scene.paint(cut, stomach, 70.0, "")
    surface = scene.axes[1][cut[1]][None, :, None]
    content = np.where(surface < -38.0, -980.0, 20.0)
    scene.paint(cut, stomach + 4.0, np.broadcast_to(content, _size(x)).astype(np.float32), "")


def _mediastinum(rng: np.random.Generator, scene: Scene, torso: Torso) -> None:
    cut = scene.cut((-80.0, -100.0, -1e4), (115.0, 90.0, 1e4))
    x, y, z = scene.coordinates(cut)
    back = torso.spine_y - 24.0
    half = 27.0 + 6.0 * np.clip(-z / 60.0, -0.6, 1.0)
    column = np.maximum(np.abs(x) - half, torso.cavity[cut] + 1.0)
    column = smooth_union(
        column, ellipsoid_distance(x, y, z, (0.0, 70.0, 0.0), (36.0, 30.0, 1e3)), 8.0
    )
    scene.paint(cut, column, FAT + 12.0, "")
    heart = ellipsoid_distance(x, y, z, (22.0, -26.0, -42.0), (66.0, 50.0, 52.0), turn=0.55)
    heart = np.maximum(heart, torso.cavity[cut] + 4.0)
    scene.paint(cut, (heart - 3.0).astype(np.float32), FAT + 15.0, "")
    scene.paint(cut, heart, 105.0, "")
    for spot, radii, hu in (
        ((46.0, -22.0, -48.0), (30.0, 22.0, 34.0), _BLOOD + 12.0),
        ((-6.0, -44.0, -44.0), (26.0, 24.0, 32.0), _BLOOD + 20.0),
        ((-20.0, -14.0, -26.0), (22.0, 20.0, 28.0), _BLOOD + 18.0),
        ((12.0, 10.0, -20.0), (30.0, 16.0, 22.0), _BLOOD + 10.0),
    ):
        scene.paint(
            cut, np.maximum(ellipsoid_distance(x, y, z, spot, radii, turn=0.5), heart + 4.0), hu, ""
        )
    vessels: list[Segment] = [
        ((-8.0, -16.0, -20.0), (-10.0, -22.0, 34.0), 15.5, 14.5),  # ascending aorta
        ((-10.0, -22.0, 34.0), (14.0, 8.0, 46.0), 13.5, 12.5),  # arch
        ((14.0, 8.0, 46.0), (22.0, back, 30.0), 12.5, 12.0),
        ((22.0, back, 30.0), (14.0, back + 4.0, -130.0), 12.0, 10.5),
        ((-30.0, -12.0, 80.0), (-28.0, -8.0, -12.0), 9.0, 10.0),  # superior vena cava
        ((14.0, -28.0, -8.0), (14.0, -14.0, 14.0), 13.0, 13.0),  # pulmonary trunk
        ((14.0, -14.0, 14.0), (-36.0, 4.0, 8.0), 11.5, 8.0),
        ((14.0, -14.0, 14.0), (38.0, 8.0, 14.0), 11.5, 8.0),
        ((-4.0, -12.0, 54.0), (-22.0, -8.0, 120.0), 5.5, 5.0),  # branches of the arch
        ((6.0, -4.0, 56.0), (18.0, 0.0, 120.0), 4.5, 4.5),
        ((14.0, 6.0, 56.0), (34.0, 8.0, 120.0), 5.0, 5.0),
        ((-30.0, -12.0, 70.0), (30.0, -26.0, 92.0), 6.5, 6.0),
    ]
    tree = tree_distance(scene, cut, vessels)
    scene.paint(cut, tree, _BLOOD + 15.0, "")
    for _ in range(12):
        node = (rng.uniform(-24.0, 24.0), rng.uniform(-40.0, 30.0), rng.uniform(-10.0, 80.0))
        size = (float(rng.uniform(2.5, 5.0)), 3.0, 4.0)
        near, gap = scene.ellipsoid((float(node[0]), float(node[1]), float(node[2])), size)
        scene.paint(near, gap, 60.0)
    gullet = np.sqrt((x - 6.0) ** 2 + ((y - back + 8.0) / 0.7) ** 2) - 8.0
    scene.paint(cut, gullet.astype(np.float32), 45.0, "")
    airways: list[Segment] = [
        ((0.0, 8.0, 130.0), (2.0, 14.0, 26.0), 9.0, 9.0),
        ((2.0, 14.0, 26.0), (-34.0, 14.0, 2.0), 7.5, 6.0),
        ((2.0, 14.0, 26.0), (40.0, 16.0, -4.0), 7.0, 5.5),
        ((-34.0, 14.0, 2.0), (-52.0, 26.0, -28.0), 4.5, 3.2),
        ((-34.0, 14.0, 2.0), (-54.0, -2.0, 18.0), 4.0, 2.6),
        ((40.0, 16.0, -4.0), (54.0, 28.0, -30.0), 4.2, 3.0),
        ((40.0, 16.0, -4.0), (56.0, 0.0, 14.0), 4.0, 2.6),
    ]
    tube = tree_distance(scene, cut, airways)
    scene.paint(cut, tube - 1.6, 40.0, "")
    scene.paint(cut, tube, -985.0, "")


def _sternum(scene: Scene, torso: Torso) -> None:
    front = -(torso.half_depth - 22.0)
    cut, gap = scene.ellipsoid((0.0, front, 20.0), (22.0, 7.0, 88.0))
    scene.paint(cut, gap, 380.0, "")
    scene.paint(cut, gap + 1.8, 150.0, "")


def _size(array: np.ndarray) -> tuple[int, int, int]:
    z, y, x = array.shape
    return (z, y, x)
