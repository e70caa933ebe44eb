"""A study's configuration as the engine takes it: phantoms made, folders turned into lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .foreign import as_list
from .phantoms import make_phantoms

if TYPE_CHECKING:
    from recognition.engine.utility.config import StudyConfig


def read_study(source: Path | str, changes: Sequence[str], out: str) -> StudyConfig:
    """A study from a file or a preset.

    Raises:
        RecognitionError: see ``recognition.engine.training.reading.read_config``.
    """
    from recognition.engine.training.reading import PRESETS, read_model
    from recognition.engine.utility.config import StudyConfig

    return read_model(StudyConfig, PRESETS / "utility", source, changes, out=out)


def prepare(config: StudyConfig, tell: Callable[[int, int], None]) -> StudyConfig:
    """The same study with lists of files only.

    Raises:
        CasesError: a folder of volumes made elsewhere that cannot be used.
    """
    from recognition.engine.utility.config import StudyConfig

    out = Path(config.out)
    document = config.model_dump(mode="json")
    organ = config.training.data.organs[0]
    for source in document["sources"]:
        source["volumes"] = [as_list(name, organ, out / "lists") for name in source["volumes"]]
    if config.phantoms.labelled:
        lists = make_phantoms(out / "phantoms", config.phantoms, tell)
        document["training"]["data"]["labelled"] = [lists["labelled"]]
        document["training"]["data"]["unlabelled"] = [lists["hosts"]]
        document["test"] = [lists["test"]]
    # the phantoms are made: their section has done its work, but tells where the data is from
    return StudyConfig.model_construct(
        **{**dict(config), **_parts(StudyConfig, document)},
    )


def _parts(model: type[StudyConfig], document: dict[str, object]) -> dict[str, object]:
    bare = {**document, "phantoms": {}}
    read = model.model_validate(bare)
    return {"sources": read.sources, "training": read.training, "test": read.test}
