"""The configuration of a training: typed, every key described, unknown keys refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from recognition.engine.networks import NetworkConfig

Pair = tuple[float, float]


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Files = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]


class Section(BaseModel):
    """A section refuses keys it does not know and cannot be changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Data(Section):
    labelled: Files = Field(
        default=(), description="Decathlon-style JSON lists of volumes with tumor labels."
    )
    unlabelled: Files = Field(
        default=(), description="JSON lists of volumes whose labels only say where the organs are."
    )
    made: Files = Field(
        default=(),
        description="JSON lists of volumes whose labelled tumors are synthetic, made elsewhere; "
        "drawn as often as the unlabelled ones, and never part of a fold.",
    )
    organs: tuple[str, ...] = Field(
        default=("liver",), min_length=1, description="Organs to learn, in class order."
    )
    windows_hu: tuple[Pair, ...] = Field(
        default=((-175.0, 250.0),), min_length=1, description="HU windows, one input channel each."
    )
    spacing_mm: tuple[float, float, float] = Field(
        default=(1.5, 1.5, 1.5), description="Grid (x, y, z) of the network in mm."
    )
    crop: tuple[int, int, int] = Field(
        default=(96, 96, 96), description="Size (z, y, x) of a crop in voxels."
    )
    cache: str = Field(
        default="",
        description="Folder of the resampled volumes; `cache` beside the run's own where empty.",
    )
    folds: int = Field(default=5, ge=2, description="Folds that the labelled volumes are cut into.")
    fold: int = Field(default=-1, ge=-1, description="The fold held out for testing; -1: none.")
    unlabelled_tumors: Literal["none", "unknown"] = Field(
        default="none",
        description="What organ voxels of unlabelled volumes are: `none`: healthy, as published; "
        "`unknown`: organ or tumor, so that the loss asks for neither.",
    )
    workers: int = Field(default=0, ge=0, description="Processes that cut crops; 0: inline.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.organs)) != len(self.organs):
            raise ValueError("an organ stands twice")
        if min(self.spacing_mm) <= 0 or min(self.crop) < 1:
            raise ValueError("spacing_mm and crop must be positive")
        if any(not low < high for low, high in self.windows_hu):
            raise ValueError("a window is empty or reversed")
        if self.fold >= self.folds:
            raise ValueError("fold counts from 0 and must be smaller than folds")
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """Background, then each organ and its tumor."""
        pairs = [name for organ in self.organs for name in (organ, f"{organ} tumor")]
        return ("background", *pairs)


# The default is the quickest network of docs/benchmarks/recognition.md on a processor: a step takes
# a third of the processor time of the next one's, a whole CT under a minute of it and under 2 GB.
class Network(Section):
    name: Literal["unet", "segresnet", "dynunet", "swinunetr"] = Field(
        default="unet", description="Architecture; `benchmark recognition` shows what each costs."
    )
    width: int = Field(default=16, ge=4, description="Channels of the first level.")
    start: str = Field(
        default="",
        description="Weights to start from, a file or a name of the registry; random where empty.",
    )
    axes: Literal["LPS", "RAS"] = Field(
        default="LPS",
        description="How the network lies in the patient; `RAS` where it starts from published "
        "weights.",
    )


class Sampling(Section):
    labelled_share: float = Field(
        default=0.5, ge=0, le=1, description="Share of crops from labelled volumes, if any others."
    )
    tumor_share: float = Field(
        default=0.5, ge=0, le=1, description="Share of a labelled volume's crops around a tumor."
    )
    anywhere_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the other crops cut anywhere in the volume, not around an organ: "
        "they teach what is no tumor elsewhere in the body.",
    )
    synthesis_share: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of tumor-free organ crops that get a synthetic lesion, if the run has "
        "a synthesizer; what the gate rejects stays healthy.",
    )
    flips: float = Field(default=0.2, ge=0, le=1, description="Chance of a flip along each axis.")
    rotations: float = Field(default=0.2, ge=0, le=1, description="Chance of an axial turn.")
    scale: float = Field(default=0.1, ge=0, lt=1, description="HU are scaled by up to this share.")
    shift_hu: float = Field(default=10.0, ge=0, description="HU are shifted by up to this.")
    cutmix: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Chance that two crops swap a half along one axis, image and label alike.",
    )


class Optimizer(Section):
    steps: int = Field(default=20_000, ge=1, description="Optimizer steps in all.")
    batch: int = Field(default=2, ge=1, description="Crops per process and step.")
    lr: float = Field(default=3e-4, gt=0, description="Learning rate of AdamW.")
    weight_decay: float = Field(default=1e-5, ge=0, description="Weight decay of AdamW.")
    warmup: int = Field(
        default=200, ge=0, description="Steps of linear warm-up; a cosine to zero follows."
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="`fp32`, `bf16` or, on a GPU, `fp16`."
    )
    ema: float = Field(
        default=0.0, ge=0, lt=1, description="Decay of a moving average that is saved; 0: none."
    )


class Logging(Section):
    checkpoint_every: int = Field(default=500, ge=1, description="Steps between checkpoints.")
    log_every: int = Field(default=20, ge=1, description="Steps between progress lines.")
    tensorboard: bool = Field(default=True, description="Also write TensorBoard event files.")


class TrainingConfig(Section):
    out: str = Field(default="", description="Folder of the run.")
    seed: int = Field(default=0, ge=0, description="Everything random follows from it.")
    device: str = Field(default="auto", description="`auto`, `cpu`, `cuda` or `cuda:N`.")
    synthesizer: Literal["none", "textural", "freetumor"] = Field(
        default="none",
        description="Who puts lesions into tumor-free crops: nobody (`onlylabeled`), the "
        "procedural generator, or the learned one.",
    )
    synthesizer_checkpoint: str = Field(
        default="", description="Its weights, a file or a name of the registry."
    )
    data: Data = Field(default_factory=Data)
    network: Network = Field(default_factory=Network)
    sampling: Sampling = Field(default_factory=Sampling)
    optimizer: Optimizer = Field(default_factory=Optimizer)
    logging: Logging = Field(default_factory=Logging)

    @model_validator(mode="after")
    def _check(self) -> Self:
        multiple = self.network_config.multiple
        if any(side % multiple for side in self.data.crop):
            raise ValueError(f"every side of data.crop must be a multiple of {multiple}")
        # Networks normalize over space: their coarsest level needs more than one voxel.
        if max(self.data.crop) == multiple:
            raise ValueError(f"some side of data.crop must be larger than {multiple}")
        return self

    @property
    def network_config(self) -> NetworkConfig:
        """What the checkpoint will say of the network."""
        return NetworkConfig(
            name=self.network.name,
            width=self.network.width,
            classes=self.data.classes,
            windows_hu=self.data.windows_hu,
            spacing_mm=self.data.spacing_mm,
            axes=self.network.axes,
        )
