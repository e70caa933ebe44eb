"""The configuration of a training: typed, every key described, unknown keys refused.

One document serves both stages: ``data`` is shared, ``segmentor`` is stage 1 and ``generator``
stage 2. The descriptions here are the ones of ``docs/reference-training.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from synthesis.engine.organs import PRIORS

Pair = tuple[float, float]
Voxels = tuple[int, int, int]


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Files = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]


class Section(BaseModel):
    """A section refuses keys it does not know and cannot be changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Organ(Section):
    name: str = Field(description="Name of the organ; its tumor class is `NAME tumor`.")
    window_hu: Pair = Field(
        default=(-175.0, 250.0), description="HU that the networks see as 0 and 1 in this organ."
    )
    bound_hu: float = Field(
        default=150.0, gt=0, description="Largest change of the generator in HU."
    )
    contrast_hu: float | None = Field(
        default=None,
        description="Mean HU of lesions minus that of the organ, before real lesions are "
        "measured; the engine's own table where empty.",
    )
    contrast_sd: float | None = Field(
        default=None,
        gt=0,
        description="Its standard deviation; the engine's own table where empty.",
    )
    diameter_mm: Pair = Field(
        default=(4.0, 80.0),
        description="Diameters drawn, log-uniform, as far as crop and organ allow.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.window_hu[0] < self.window_hu[1]:
            raise ValueError("the window is empty or reversed")
        if not 0 < self.diameter_mm[0] <= self.diameter_mm[1]:
            raise ValueError("the diameter range is empty or reversed")
        if self.contrast_hu is None and self.name not in PRIORS:
            raise ValueError("contrast_hu must be given for an organ that the engine's table lacks")
        if abs(self.contrast) >= self.bound_hu:
            raise ValueError("bound_hu must be larger than the contrast")
        return self

    @property
    def contrast(self) -> float:
        """Mean contrast in HU, from the table where none is configured."""
        return PRIORS[self.name].contrast if self.contrast_hu is None else self.contrast_hu

    @property
    def spread(self) -> float:
        """Standard deviation of the contrast in HU."""
        if self.contrast_sd is not None:
            return self.contrast_sd
        return PRIORS[self.name].contrast_sd if self.name in PRIORS else 0.3 * abs(self.contrast)


class Phantoms(Section):
    kind: Literal["abdomen", "chest", "mixed"] = Field(
        default="abdomen", description="`abdomen`, `chest`, or `mixed`: both in turn."
    )
    labelled: int = Field(default=0, ge=0, description="Phantoms with their lesions labelled.")
    unlabelled: int = Field(default=0, ge=0, description="Phantoms whose lesions nobody labelled.")
    validation: int = Field(default=0, ge=0, description="Phantoms held out.")
    extent_mm: tuple[float, float, float] = Field(
        default=(240.0, 384.0, 384.0), description="Size (z, y, x) of a phantom in mm."
    )
    lesions: int = Field(default=3, ge=0, description="Lesions grown in each.")
    diameter_mm: Pair = Field(default=(8.0, 30.0), description="Their diameters.")


class Data(Section):
    labelled: Files = Field(
        default=(), description="Decathlon-style JSON lists; their `training` part is labelled."
    )
    unlabelled: Files = Field(
        default=(),
        description="JSON lists of volumes without tumor labels; their label files only say "
        "where the organs are.",
    )
    phantoms: Phantoms = Field(default_factory=Phantoms)
    organs: tuple[Organ, ...] = Field(
        default=(Organ(name="liver"),), min_length=1, description="Organs to learn, in class order."
    )
    spacing_mm: tuple[float, float, float] = Field(
        default=(1.5, 1.5, 1.5), description="Grid (x, y, z) of the networks in mm."
    )
    crop: Voxels = Field(default=(64, 64, 64), description="Size (z, y, x) of a crop in voxels.")
    cache: str = Field(
        default="",
        description="Folder of the resampled volumes; `cache` beside the run's own where empty.",
    )
    labelled_repeats: int = Field(
        default=1, ge=1, description="Times a labelled volume counts among the unlabelled ones."
    )
    flips: float = Field(default=0.2, ge=0, le=1, description="Chance of a flip along each axis.")
    rotations: float = Field(
        default=0.2, ge=0, le=1, description="Chance of a quarter turn in the axial plane."
    )
    workers: int = Field(
        default=0, ge=0, description="Processes that cut crops; 0 cuts them inline."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [organ.name for organ in self.organs]
        if len(set(names)) != len(names):
            raise ValueError("an organ stands twice")
        if min(self.spacing_mm) <= 0 or min(self.crop) < 1:
            raise ValueError("spacing_mm and crop must be positive")
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """Background, then each organ and its tumor."""
        pairs = [name for o in self.organs for name in (o.name, f"{o.name} tumor")]
        return ("background", *pairs)

    @property
    def windows(self) -> tuple[Pair, ...]:
        """The windows of the organs, each once."""
        return tuple(dict.fromkeys(organ.window_hu for organ in self.organs))


class Steps(Section):
    """Keys that both stages have."""

    steps: int = Field(default=20_000, ge=1, description="Optimizer steps in all.")
    batch: int = Field(default=2, ge=1, description="Crops per process and forward pass.")
    accumulate: int = Field(default=1, ge=1, description="Forward passes per optimizer step.")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="`fp32`, `bf16` or, on a GPU, `fp16`."
    )
    storage: Literal["fp32", "fp16"] = Field(
        default="fp32",
        description="Numbers in the checkpoint file; `fp16` halves it. The run goes on in fp32.",
    )
    checkpoint_every: int = Field(default=500, ge=1, description="Steps between checkpoints.")
    log_every: int = Field(default=20, ge=1, description="Steps between progress lines.")
    samples_every: int = Field(
        default=500, ge=0, description="Steps between sample PNGs; 0 for none."
    )
    validate_every: int = Field(
        default=1000, ge=0, description="Steps between looks at held-out crops; 0 only at the end."
    )
    validation_crops: int = Field(
        default=16, ge=0, description="Held-out crops looked at; 0 for none."
    )


class SegmentorStage(Steps):
    architecture: Literal["unet", "swin"] = Field(
        default="unet",
        description="`unet`: strided residual U-Net; `swin`: SwinUNETR as published.",
    )
    channels: tuple[int, ...] = Field(
        default=(16, 32, 64, 128, 256), min_length=2, description="Channels of each level (`unet`)."
    )
    res_units: int = Field(default=2, ge=0, description="Residual units of each level (`unet`).")
    feature_size: int = Field(default=48, ge=12, multiple_of=12, description="Width (`swin`).")
    lr: float = Field(default=3e-4, gt=0, description="Learning rate of AdamW.")
    weight_decay: float = Field(default=1e-5, ge=0, description="Weight decay of AdamW.")
    warmup: int = Field(
        default=200, ge=0, description="Steps of linear warm-up; a cosine to zero follows."
    )
    dice: float = Field(default=1.0, ge=0, description="Weight of soft Dice beside cross-entropy.")
    lesion_share: float = Field(
        default=0.5, ge=0, le=1, description="Share of crops around a real lesion."
    )
    procedural_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the other crops in which a procedural lesion is grown and labelled, "
        "where few real ones are.",
    )
    cutmix: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Chance that two crops labelled alike swap a slab, image and label alike.",
    )
    scale: float = Field(
        default=0.1, ge=0, lt=1, description="Contrast about 0 HU is scaled by up to this share."
    )
    shift_hu: float = Field(default=10.0, ge=0, description="All HU are shifted by up to this.")
    noise_hu: float = Field(
        default=0.0, ge=0, description="Noise of up to this standard deviation is added."
    )


class Loss(Section):
    segmentor: Literal["ce", "paper"] = Field(
        default="ce",
        description="`ce`: cross-entropy and soft Dice of the organ's own tumor class; `paper`: "
        "1 - mean probability of any tumor.",
    )
    adversarial: Literal["ce", "hinge", "paper"] = Field(
        default="ce",
        description="`ce`: masked, balanced cross-entropy; `hinge`; `paper`: 1 - mean p.",
    )
    segmentor_weight: float = Field(
        default=1.0, ge=0, description="Weight of the segmentor's term."
    )
    adversarial_weight: float = Field(
        default=0.1,
        ge=0,
        description="Weight of the discriminator's term; published: 0.1, chest 0.5.",
    )
    statistics: float = Field(
        default=1.0,
        ge=0,
        description="Weight of matching lesion HU quantiles to real lesions per organ.",
    )
    rim: float = Field(default=0.05, ge=0, description="Weight of smoothness at the lesion's rim.")
    procedural: float = Field(
        default=0.5, ge=0, description="Weight of staying near the procedural lesion at the start."
    )
    procedural_steps: int = Field(
        default=500, ge=0, description="Steps in which that weight falls to zero."
    )
    r1: float = Field(default=0.1, ge=0, description="Weight of the discriminator's R1 penalty.")
    r1_every: int = Field(default=4, ge=1, description="Steps between R1 penalties.")


#: The published losses and nothing beside them.
PAPER_LOSS = {
    "segmentor": "paper",
    "adversarial": "paper",
    "segmentor_weight": 1.0,
    "adversarial_weight": 0.1,
    "statistics": 0.0,
    "rim": 0.0,
    "procedural": 0.0,
    "procedural_steps": 0,
    "r1": 0.0,
    "r1_every": 1,
}


def _named_loss(value: Any) -> Any:
    return PAPER_LOSS if value == "paper" else value


class GeneratorStage(Steps):
    segmentor: str = Field(
        default="",
        description="Checkpoint of stage 1; `segmentor/segmentor.safetensors` of the same run "
        "where empty.",
    )
    segmentor_first: bool = Field(
        default=False, description="Run stage 1 first when its checkpoint is not there."
    )
    channels: tuple[int, ...] = Field(
        default=(16, 32, 64, 128, 256),
        min_length=2,
        description="Channels of the generator's levels.",
    )
    parametrization: Literal["direct", "hybrid"] = Field(
        default="direct",
        description="`direct`: the network paints the lesion; `hybrid`: it corrects a procedural "
        "one, which keeps small trainings from collapsing.",
    )
    correction: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="Largest correction of a `hybrid` as a share of the organ's bound_hu.",
    )
    noise_channels: int = Field(default=1, ge=1, description="Noise maps the generator gets.")
    embedding: int = Field(default=32, ge=1, description="Length of the organ's code.")
    discriminator: Literal["unet", "published"] = Field(
        default="unet",
        description="`unet`: small, InstanceNorm; `published`: the authors' U-Net with batch "
        "statistics.",
    )
    discriminator_channels: tuple[int, ...] = Field(
        default=(8, 16, 32, 64), min_length=2, description="Channels of the discriminator (`unet`)."
    )
    discriminator_width: int = Field(
        default=32, ge=1, description="First channels of the discriminator (`published`)."
    )
    lr: float = Field(default=1e-4, gt=0, description="Learning rate of Adam in both networks.")
    betas: Pair = Field(default=(0.0, 0.999), description="Adam's betas.")
    ema: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="Decay of the generator's moving average, which is saved.",
    )
    lesion_share: float = Field(
        default=0.5, ge=0, lt=1, description="Share of crops around a real lesion, in every batch."
    )
    loss: Annotated[Loss, BeforeValidator(_named_loss)] = Field(default_factory=Loss)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if 0 < self.lesion_share * self.batch < 1:
            raise ValueError(
                "batch times lesion_share must be at least 1, so that every batch holds a real "
                "lesion"
            )
        return self


class TrainingConfig(Section):
    out: str = Field(
        default="", description="Folder of the run; the command fills it in where empty."
    )
    seed: int = Field(default=0, ge=0, description="Everything random follows from it.")
    device: str = Field(
        default="auto",
        description="`auto`, `cpu`, `cuda` or `cuda:N`; `auto` takes a GPU if there is one.",
    )
    tensorboard: bool = Field(default=True, description="Also write TensorBoard event files.")
    data: Data = Field(default_factory=Data)
    segmentor: SegmentorStage = Field(default_factory=SegmentorStage)
    generator: GeneratorStage = Field(default_factory=GeneratorStage)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for stage, levels in (
            ("segmentor", len(self.segmentor.channels)),
            ("generator", len(self.generator.channels)),
            ("discriminator", len(self.generator.discriminator_channels)),
        ):
            multiple = 2 ** (levels - 1)
            if stage == "segmentor" and self.segmentor.architecture == "swin":
                multiple = 32
            if stage == "discriminator" and self.generator.discriminator == "published":
                multiple = 8
            if any(side % multiple for side in self.data.crop):
                raise ValueError(
                    f"every side of data.crop must be a multiple of {multiple} for the {stage}"
                )
            # Networks normalize over space: their coarsest level needs more than one voxel.
            if max(self.data.crop) == multiple:
                raise ValueError(
                    f"some side of data.crop must be larger than {multiple} for the {stage}"
                )
        if self.generator.discriminator == "published" and len(self.data.windows) > 1:
            raise ValueError("the published discriminator sees one window; give all organs one")
        return self

    @property
    def folder(self) -> Path:
        return Path(self.out)
