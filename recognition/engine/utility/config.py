"""The configuration of a utility study: which arms, on which data, measured how."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from recognition.engine.detection import HitRule
from recognition.engine.training.config import Files, Section, TrainingConfig

ArmKind = Literal["real", "healthy", "synthetic", "both"]


def _named(value: Any) -> Any:
    """``textural`` alone means the generator of that name."""
    values = [value] if isinstance(value, str | dict) else value
    if not isinstance(values, list | tuple):
        return value
    return [{"name": v, "kind": v} if isinstance(v, str) else v for v in values]


class Source(Section):
    """Where synthetic lesions come from: a generator of ours, or volumes made elsewhere."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]*$")
    kind: Literal["textural", "freetumor", "volumes"]
    checkpoint: str = ""
    volumes: Files = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.kind == "volumes") != bool(self.volumes):
            raise ValueError("volumes belong to a source of kind volumes, and to no other")
        if self.kind != "freetumor" and self.checkpoint:
            raise ValueError("only a source of kind freetumor has a checkpoint")
        return self


Sources = Annotated[tuple[Source, ...], BeforeValidator(_named)]


class Phantoms(Section):
    """Phantoms that stand in for patients; made once, under the study's folder."""

    labelled: int = Field(
        default=0, ge=0, description="Labelled phantoms to make and train on; 0: use your data."
    )
    labelled_lesions: int = Field(default=1, ge=1, description="Lesions in each of them.")
    hosts: int = Field(default=8, ge=0, description="Tumor-free phantoms, hosts of synthesis.")
    test: int = Field(default=16, ge=2, description="Held-out phantoms.")
    test_lesions: int = Field(default=3, ge=1, description="Lesions in each of them.")
    diameter_mm: tuple[float, float] = Field(
        default=(12.0, 30.0), description="Range of the lesions' diameters, log-uniform."
    )
    labelled_diameter_mm: tuple[float, float] | None = Field(
        default=None, description="The same of the labelled phantoms; `null`: as the others."
    )
    spacing_mm: float = Field(default=4.0, ge=1, le=8, description="Voxel size, all axes.")
    noise_hu: float = Field(
        default=5.0,
        gt=0,
        description="Standard deviation of the noise: that of a scanner, as large voxels have it.",
    )
    seed: int = Field(default=2026, ge=0, description="The phantoms follow from it.")


class Evaluation(Section):
    rule: HitRule = Field(default="iou", description="Rule of a hit, `iou` or `center`.")
    false_positives: float = Field(
        default=1.0, gt=0, description="False positives per scan at which sensitivity is read."
    )
    threshold: float = Field(
        default=0.3, gt=0, lt=1, description="Probability from which a voxel may be tumor."
    )
    smallest_mm: float = Field(default=4.0, ge=0, description="Smaller finds are dropped.")
    overlap: float = Field(
        default=0.25,
        ge=0,
        lt=1,
        description="Of neighboring windows, which are as large as the crops.",
    )


class Statistics(Section):
    replicates: int = Field(default=2000, ge=100, description="Draws of the bootstrap.")
    seed: int = Field(default=1, ge=0, description="Of the draws.")


class Copies(Section):
    lesions: int = Field(
        default=60, ge=0, description="Synthetic lesions of each source looked at; 0: none."
    )
    training: Files = Field(
        default=(),
        description="Lists of what the generators were trained on; empty: the labelled volumes.",
    )


class StudyConfig(Section):
    out: str = Field(default="", description="Folder of the study.")
    arms: tuple[ArmKind, ...] = Field(
        default=("real", "synthetic", "both"),
        description="What to train on: `real` lesions only, real lesions and `healthy` hosts "
        "without synthesis, `synthetic` lesions only, `both`.",
    )
    sources: Sources = Field(
        default=(Source(name="textural", kind="textural"),),
        min_length=1,
        description="Where synthetic lesions come from: `textural`, `freetumor`, or items with "
        "`name`, `kind` and `checkpoint` (kind `freetumor`) or `volumes` (kind `volumes`: lists "
        "or folders of CT and masks made elsewhere).",
    )
    scales: tuple[float, ...] = Field(
        default=(1.0,),
        min_length=1,
        description="Shares of the hosts (or volumes made elsewhere) that `both` uses, each "
        "share part of the next.",
    )
    ungated: bool = Field(
        default=True, description="Also train `both` without the quality gate, at full scale."
    )
    seeds: tuple[int, ...] = Field(
        default=(0, 1, 2), min_length=1, description="One training of every arm for each."
    )
    test: Files = Field(
        default=(),
        description="Lists of held-out volumes with real tumors; empty: the labelled volumes are "
        "tested fold by fold (`training.data.folds`).",
    )
    phantoms: Phantoms = Field(default_factory=Phantoms)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    statistics: Statistics = Field(default_factory=Statistics)
    copies: Copies = Field(default_factory=Copies)
    training: TrainingConfig = Field(
        default_factory=TrainingConfig,
        description="What every arm is trained with: all keys above, as for `train_recognition`.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [source.name for source in self.sources]
        for what, given in (("an arm", self.arms), ("a source", names), ("a seed", self.seeds)):
            if len(set(given)) < len(given):
                raise ValueError(f"{what} stands twice")
        if "real" not in self.arms:
            raise ValueError("arms must hold real, which the others are compared with")
        if any(not 0 < scale <= 1 for scale in self.scales) or len(set(self.scales)) < len(
            self.scales
        ):
            raise ValueError("scales are shares above 0 and up to 1, each once")
        if self.training.synthesizer != "none" or self.training.data.fold != -1:
            raise ValueError("the study sets training.synthesizer and training.data.fold itself")
        if self.phantoms.labelled and (self.training.data.labelled or self.test):
            raise ValueError("give phantoms or lists of volumes, not both")
        if self.phantoms.labelled and self.training.data.organs != ("liver",):
            raise ValueError("the phantoms of a study have tumors of the liver only")
        for low, high in (
            self.phantoms.diameter_mm,
            self.phantoms.labelled_diameter_mm or self.phantoms.diameter_mm,
        ):
            if not 0 < low <= high:
                raise ValueError("a range of diameters of the phantoms is reversed")
        return self
