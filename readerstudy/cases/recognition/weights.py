"""Weights that find tumors: a file, or a name of the registry, whichever engine wrote them.

The registry is that of the synthesis engine, which calls its networks segmentors; a network of
`train_recognition` is there as a recognizer. The first half runs on the web path, without PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from readerstudy.cases.errors import CasesError
from synthesis import selectors as registry
from synthesis.engine import shipped
from synthesis.engine.errors import SynthesisError

if TYPE_CHECKING:
    from recognition.engine.checkpoints import Loaded
    from recognition.engine.networks import NetworkConfig
    from synthesis.models import Checkpoint

#: What is taken where nobody names weights: those that ship.
DEFAULT = shipped.GENERATOR
#: Kinds of the registry whose networks can name a tumor.
KINDS = ("recognizer", "segmentor")
_ENDINGS = (".safetensors", ".pt", ".pth")


@dataclass(frozen=True)
class Weights:
    """Where a network lies. ``sha256`` is the registry's record; empty for a file."""

    path: Path
    name: str
    sha256: str = ""
    organs: tuple[str, ...] = ()


def choices() -> list[Weights]:
    """Registered networks that know a tumor, by name; trained ones first."""
    rows = [row for kind in KINDS for row in registry.checkpoints(kind)]
    return [weights for weights in map(_weights, rows) if weights.organs]


def chosen(given: str) -> Weights:
    """The weights ``given``: a file, or a name of the registry.

    The name of a bundle stands for its segmentor, so that ``freetumor-small`` finds tumors too.

    Raises:
        CasesError: there is no such file or name, or its networks find nothing.
    """
    path = Path(given)
    if path.is_file():
        return Weights(path, path.stem)
    if path.suffix in _ENDINGS or len(path.parts) > 1:
        raise CasesError(
            f"There is no checkpoint {path}; give a .safetensors file, or a name that "
            "list_checkpoints shows."
        )
    try:
        row = registry.checkpoint(given)
        if row.kind not in KINDS:
            row = _companion(row)
    except SynthesisError as error:
        raise CasesError(str(error)) from None
    weights = _weights(row)
    if not weights.organs:
        raise CasesError(f"The network {row.name} knows no tumor; choose another one.")
    return weights


def _companion(row: Checkpoint) -> Checkpoint:
    """The segmentor that came in one bundle with another network."""
    try:
        return registry.checkpoint(f"{row.name}-segmentor", "segmentor")
    except SynthesisError:
        names = ", ".join(weights.name for weights in choices())
        raise CasesError(
            f"The checkpoint {row.name} ({row.kind}) finds nothing; those that do: {names}."
        ) from None


def _weights(row: Checkpoint) -> Weights:
    names = row.config.get("classes", ()) if isinstance(row.config, Mapping) else ()
    organs = tuple(name.removesuffix(" tumor") for name in names if name.endswith(" tumor"))
    return Weights(registry.checkpoint_file(row), row.name, row.sha256, organs)


def start_of(given: str, axes: str) -> Path:
    """The file of weights that a training starts from; `axes` is what its network is set to.

    Raises:
        CasesError: there is no such file or name, it cannot start a training, or it was trained
            on other axes.
    """
    path = Path(given)
    if not path.is_file():
        if path.suffix in _ENDINGS or len(path.parts) > 1:
            raise CasesError(f"There is no checkpoint {path}; check network.start.")
        try:
            row = registry.checkpoint(given)
            if row.kind not in (*KINDS, "encoder"):
                row = _companion(row)
        except SynthesisError as error:
            raise CasesError(str(error)) from None
        path = registry.checkpoint_file(row)
    if path.suffix in (".pt", ".pth"):
        raise CasesError(
            f"{path} may hold more than weights; convert it with import_checkpoint {path} --name "
            "NAME and give that name."
        )
    trained = _axes(path)
    if trained not in ("", axes):
        raise CasesError(
            f"{given} was trained on the axes {trained}; set network.axes to {trained} to start "
            "from it."
        )
    return path


def _axes(path: Path) -> str:
    """What the file says of its axes; empty where it says nothing."""
    import json

    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stream:
            metadata = stream.metadata() or {}
    except (SafetensorError, OSError):
        return ""
    if "recognition" in metadata:
        return str(json.loads(metadata["recognition"])["network"].get("axes", "LPS"))
    if "recognition.encoder" in metadata:
        return str(json.loads(metadata["recognition.encoder"])["axes"])
    if "synthesis.checkpoint" in metadata:
        header = json.loads(metadata["synthesis.checkpoint"])
        published = header["architecture"] == "swin-unetr" and not header["notes"]
        return "RAS" if published else "LPS"
    return ""


# -- in a worker ---------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def load(weights: Weights) -> Loaded:
    """The network, once per process.

    Raises:
        CasesError: the file is gone, damaged, not the one of the record, of an architecture that
            this engine does not build, or a network that knows no tumor.
    """
    from recognition.engine.checkpoints import file_sha256, load_checkpoint
    from recognition.engine.errors import RecognitionError

    try:
        if _written_by_synthesis(weights.path):
            loaded = _segmentor(weights)
        else:
            loaded = load_checkpoint(weights.path)
    except (RecognitionError, SynthesisError) as error:
        raise CasesError(str(error)) from None
    if weights.sha256 and file_sha256(weights.path) != weights.sha256:
        raise CasesError(
            f"{weights.path} has changed since it was registered (its SHA-256 differs); import it "
            "again."
        )
    if not loaded.config.tumors:
        raise CasesError(f"The network in {weights.path} knows no tumor; choose another one.")
    return loaded if loaded.name == weights.name else _named(loaded, weights.name)


def _named(loaded: Loaded, name: str) -> Loaded:
    from dataclasses import replace

    return replace(loaded, name=name)


def _written_by_synthesis(path: Path) -> bool:
    """Whether the header is that of the synthesis engine; False also where there is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stream:
            return "synthesis.checkpoint" in (stream.metadata() or {})
    except (SafetensorError, OSError):
        return False


def _segmentor(weights: Weights) -> Loaded:
    """A segmentor of the synthesis engine as a network of this one: the same layers and names."""
    from recognition.engine.checkpoints import load_as
    from synthesis.engine.checkpoints import read_header
    from synthesis.engine.networks import SwinSegmentorConfig

    header = read_header(weights.path)
    if header.kind != "segmentor":
        raise CasesError(
            f"{weights.path} holds a {header.kind}, which finds nothing; give a segmentor, or a "
            "network of train_recognition."
        )
    # a file of training tells of it; the published ones, as imported, say nothing
    published = isinstance(header.config, SwinSegmentorConfig) and not header.notes
    config = network_of(header.config, weights.name, published=published)
    return load_as(config, weights.path, header.notes)


def network_of(config: Any, name: str, *, published: bool = False) -> NetworkConfig:
    """The same network in the words of the recognition engine.

    ``published``: trained by the authors, on their axes.

    Raises:
        CasesError: this engine builds no such network.
    """
    from recognition.engine.networks import NetworkConfig
    from synthesis.engine.networks import SwinSegmentorConfig, UNetSegmentorConfig

    made: tuple[str, int] | None = None
    if isinstance(config, SwinSegmentorConfig) and config.use_v2 and config.feature_size % 12 == 0:
        made = ("swinunetr", config.feature_size)
    if isinstance(config, UNetSegmentorConfig) and config.res_units == 2:
        width = config.channels[0]
        if config.channels == tuple(width * 2**level for level in range(5)):
            made = ("unet", width)
    if made is None:
        raise CasesError(
            f"The segmentor {name} is of a shape that only the quality gate uses; to find tumors, "
            "give a SwinUNETR of the second version or a U-Net of five levels."
        )
    return NetworkConfig(
        name=made[0],
        width=made[1],
        classes=config.classes,
        windows_hu=config.windows_hu,
        spacing_mm=config.spacing_mm,
        axes="RAS" if published else "LPS",
    )
