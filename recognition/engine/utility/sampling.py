"""The lesions to compare: real ones of the lists, and synthetic ones as a training meets them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from recognition.engine.training.config import TrainingConfig
from recognition.engine.training.crops import Crops, Synthesizer
from recognition.engine.training.lists import Entry, read_list
from recognition.engine.training.volumes import Volumes
from recognition.engine.utility.config import Source, StudyConfig
from recognition.engine.utility.lesions import Sample, samples_in
from recognition.engine.utility.plan import Arm, Part, training_of

Tell = Callable[[int, int], None]

#: Crops cut for one lesion before a source is taken to make no more.
_TRIES = 5


def real_samples(config: StudyConfig) -> list[Sample]:
    """Every lesion that a generator may have been trained on, on the network's grid.

    Raises:
        RecognitionError: a list or a volume cannot be read.
    """
    data = config.training.data
    names = config.copies.training or data.labelled
    return _of_lists(config, names, None)


def made_samples(
    config: StudyConfig, source: Source, synthesizer: Synthesizer | None, tell: Tell
) -> list[Sample]:
    """``config.copies.lesions`` synthetic lesions: of a source's volumes, or made as in training.

    Raises:
        RecognitionError: a list or a volume cannot be read.
    """
    wanted = config.copies.lesions
    if synthesizer is None:
        return _of_lists(config, source.volumes, wanted)
    whole = training_of(config, Part(Arm("synthetic", source), config.seeds[0], -1))
    plain = whole.sampling.model_copy(
        update={
            "synthesis_share": 1.0,
            "anywhere_share": 0.0,
            "flips": 0.0,
            "rotations": 0.0,
            "scale": 0.0,
            "shift_hu": 0.0,
        }
    )
    whole = whole.model_copy(update={"sampling": plain})
    hosts = [
        e for n in whole.data.unlabelled for e in read_list(n, whole.data.classes, tumors=False)
    ]
    crops = Crops(whole, _volumes([], whole, config), _volumes(hosts, whole, config), synthesizer)
    out: list[Sample] = []
    for number in range(wanted * _TRIES):
        item = crops[number]
        if int(item["synthetic"]) == 1:
            label = item["label"].numpy()
            out.extend(
                samples_in(
                    item["hu"][0].numpy(),
                    (label > 0) & (label % 2 == 0),
                    label > 0,
                    whole.data.spacing_mm,
                    name=f"{source.name} {len(out) + 1}",
                    patient="",
                )
            )
            tell(min(len(out), wanted), wanted)
        if len(out) >= wanted:
            break
    return out[:wanted]


def _of_lists(config: StudyConfig, names: Sequence[str], most: int | None) -> list[Sample]:
    data = config.training.data
    entries = [e for name in names for e in read_list(name, data.classes, tumors=True)]
    volumes = _volumes(entries, config.training, config)
    out: list[Sample] = []
    for number in range(len(volumes)):
        volume = volumes[number]
        out.extend(
            samples_in(
                volume.hu.astype(np.float32),
                (volume.label > 0) & (volume.label % 2 == 0),
                volume.label > 0,
                data.spacing_mm,
                name=volume.name,
                patient=entries[number].patient,
            )
        )
        if most is not None and len(out) >= most:
            return out[:most]
    return out


def _volumes(entries: Sequence[Entry], training: TrainingConfig, config: StudyConfig) -> Volumes:
    cache = training.data.cache or str(Path(config.out) / "cache")
    return Volumes(entries, training.data.spacing_mm, Path(cache))
