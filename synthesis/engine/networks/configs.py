"""What a network is, in plain data: everything needed to build it again around its weights.

No torch here, so that a registry or a page can read a configuration without paying for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from synthesis.engine.errors import SynthesisError

Window: TypeAlias = tuple[float, float]
Spacing: TypeAlias = tuple[float, float, float]

ABDOMEN_HU: Window = (-175.0, 250.0)
CHEST_HU: Window = (-1000.0, 500.0)
#: How the conditional generator's answer becomes the change of the scan.
PARAMETRIZATIONS = ("direct", "hybrid")
#: Classes of the published abdominal segmentor: odd is an organ, the next number its tumor.
ABDOMEN_CLASSES = (
    "background",
    "liver",
    "liver tumor",
    "pancreas",
    "pancreas tumor",
    "kidney",
    "kidney tumor",
)


@dataclass(frozen=True)
class OrganChannel:
    """How one organ enters the conditional generator.

    ``window_hu`` is mapped to 0..1 before the network sees it; the residual stays within
    ``bound_hu``; ``start_hu`` is the change a network proposes before any training.
    ``contrast_hu`` (mean, standard deviation) is that of the procedural lesions a hybrid was
    trained on, where that is not the engine's own table's.
    """

    name: str
    window_hu: Window
    bound_hu: float
    start_hu: float
    contrast_hu: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.window_hu[0] < self.window_hu[1]:
            raise ValueError(f"The HU window of the {self.name} is empty or reversed.")
        if not 0.0 <= abs(self.start_hu) < self.bound_hu:
            raise ValueError(f"The first change in the {self.name} must lie within its bound.")


#: A lung nodule replaces air by soft tissue, a change of up to 1000 HU; others stay within 150.
DEFAULT_ORGANS = (
    OrganChannel("liver", ABDOMEN_HU, 150.0, -38.0),
    OrganChannel("pancreas", ABDOMEN_HU, 150.0, -32.0),
    OrganChannel("kidney", ABDOMEN_HU, 150.0, -60.0),
    OrganChannel("lung", CHEST_HU, 1000.0, 850.0),
)


@dataclass(frozen=True)
class PublishedUNet3dConfig:
    """The published generator (and discriminator).

    Three outputs are the abdominal one, a single output the chest one. ``width`` is 32 in every
    published file.
    """

    architecture: ClassVar[str] = "freetumor-unet3d"
    out_channels: int = 3
    width: int = 32


@dataclass(frozen=True)
class ConditionalUNetConfig:
    """Our generator: a strided residual U-Net conditional on CT, soft mask, noise and organ.

    ``spacing_mm`` (x, y, z) is the grid it works on, ``window`` the least crop in voxels
    (z, y, x) it was trained to see. With the parametrization ``direct`` the network answers with
    the whole change; with ``hybrid`` it is shown a procedural lesion and corrects that by up to
    ``correction`` times the organ's bound.
    """

    architecture: ClassVar[str] = "conditional-unet"
    organs: tuple[OrganChannel, ...] = DEFAULT_ORGANS
    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    noise_channels: int = 1
    embedding: int = 32
    spacing_mm: Spacing = (1.5, 1.5, 1.5)
    window: tuple[int, int, int] = (64, 64, 64)
    parametrization: str = "direct"
    correction: float = 1.0

    def __post_init__(self) -> None:
        if self.parametrization not in PARAMETRIZATIONS:
            raise ValueError(
                f"There is no parametrization {self.parametrization!r}; "
                f"known are {', '.join(PARAMETRIZATIONS)}."
            )
        if not 0.0 < self.correction <= 1.0:
            raise ValueError("A correction is a share of the bound: above 0, at most 1.")
        names = [organ.name for organ in self.organs]
        if not names or len(set(names)) != len(names):
            raise ValueError("The organs of a generator must be named, each once.")
        if len(self.channels) < 2:
            raise ValueError("The generator needs at least two levels of channels.")

    @property
    def hybrid(self) -> bool:
        """Whether the network corrects a procedural lesion."""
        return self.parametrization == "hybrid"

    @property
    def multiple(self) -> int:
        """Crop sizes must be a multiple of this (every level but the first halves the grid)."""
        return int(2 ** (len(self.channels) - 1))

    def organ_index(self, name: str) -> int:
        """Raises SynthesisError naming the organs the network knows."""
        names = [organ.name for organ in self.organs]
        if name not in names:
            raise SynthesisError(
                f"This generator was not made for the organ {name!r}; it knows {', '.join(names)}."
            )
        return names.index(name)


@dataclass(frozen=True)
class UNetSegmentorConfig:
    """The default segmentor: a strided residual U-Net, one input channel per HU window."""

    architecture: ClassVar[str] = "unet-segmentor"
    classes: tuple[str, ...] = ABDOMEN_CLASSES
    windows_hu: tuple[Window, ...] = (ABDOMEN_HU,)
    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    res_units: int = 2
    spacing_mm: Spacing = (1.5, 1.5, 1.5)

    @property
    def multiple(self) -> int:
        return int(2 ** (len(self.channels) - 1))


@dataclass(frozen=True)
class SwinSegmentorConfig:
    """The published segmentor: SwinUNETR, feature size 48, second version of its blocks."""

    architecture: ClassVar[str] = "swin-unetr"
    classes: tuple[str, ...] = ABDOMEN_CLASSES
    windows_hu: tuple[Window, ...] = (ABDOMEN_HU,)
    feature_size: int = 48
    use_v2: bool = True
    spacing_mm: Spacing = (1.5, 1.5, 1.5)

    @property
    def multiple(self) -> int:
        return 32


SegmentorConfig: TypeAlias = UNetSegmentorConfig | SwinSegmentorConfig
NetworkConfig: TypeAlias = PublishedUNet3dConfig | ConditionalUNetConfig | SegmentorConfig

CONFIGS: dict[str, type[NetworkConfig]] = {
    kind.architecture: kind
    for kind in (
        PublishedUNet3dConfig,
        ConditionalUNetConfig,
        UNetSegmentorConfig,
        SwinSegmentorConfig,
    )
}


def config_to_json(config: NetworkConfig) -> dict[str, Any]:
    """The configuration as JSON types; `config_from_json` is its inverse."""
    return dataclasses.asdict(config)


def config_from_json(architecture: str, values: Mapping[str, Any]) -> NetworkConfig:
    """Build a configuration, refusing what it does not know.

    Raises:
        SynthesisError: unknown architecture, unknown key, or a value that makes no sense.
    """
    kind = CONFIGS.get(architecture)
    if kind is None:
        known = ", ".join(CONFIGS)
        raise SynthesisError(f"There is no architecture {architecture!r}; known are {known}.")
    fields = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(set(values) - fields)
    if unknown:
        raise SynthesisError(
            f"The architecture {architecture} has no setting {unknown[0]!r}; "
            f"its settings are {', '.join(sorted(fields))}."
        )
    given = {name: _frozen(value) for name, value in values.items()}
    try:
        if "organs" in given:
            given["organs"] = tuple(
                OrganChannel(**{k: _frozen(v) for k, v in organ.items()})
                for organ in values["organs"]
            )
        return kind(**given)
    except (TypeError, ValueError, AttributeError) as error:
        raise SynthesisError(
            f"The settings of the architecture {architecture} make no sense: {error}"
        ) from error


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def tumor_classes(classes: tuple[str, ...]) -> dict[int, str]:
    """Which labels are tumors, and of which organ: ``{2: "liver"}`` for ``"liver tumor"``."""
    return {
        index: name.removesuffix(" tumor")
        for index, name in enumerate(classes)
        if name.endswith(" tumor")
    }
