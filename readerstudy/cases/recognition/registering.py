"""Weights of either engine into the one registry: a file is taken by what it holds."""

from __future__ import annotations

import shutil
from pathlib import Path

from synthesis.engine.errors import SynthesisError
from synthesis.models import Checkpoint
from synthesis.services import Origin, Part, check_name, import_checkpoint, register

_OURS = ".safetensors"


def import_weights(
    file: Path,
    name: str,
    origin: Origin | None = None,
    *,
    replace: bool = False,
    classes: tuple[str, ...] | None = None,
) -> list[Checkpoint]:
    """Register what `file` holds: see `synthesis.services.import_checkpoint`.

    Beside what that takes: a network of `train_recognition`, and the encoder of a SwinUNETR that
    was trained without labels (VoCo).

    Raises:
        SynthesisError: the file cannot be used or the name is taken; nothing is left behind.
    """
    from recognition.engine.errors import RecognitionError

    check_name(name, replace=replace)
    try:
        found = _part(file)
    except RecognitionError as error:
        raise SynthesisError(str(error)) from None
    if found is None:
        return import_checkpoint(file, name, origin, replace=replace, classes=classes)
    part, notes = found
    return register(file, name, [part], notes, origin, replace=replace)


def _part(file: Path) -> tuple[Part, dict[str, str]] | None:
    """The network of the recognition engine in `file`; None where it is another's."""
    if file.suffix == _OURS:
        return _recognizer(file) if _written_by_recognition(file) else None
    from recognition.engine.interop import encoder_of, save_encoder
    from synthesis.engine.interop.weights import is_encoder, read_state

    state = read_state(file)
    if not is_encoder(state):
        return None
    encoder = encoder_of(state, str(file))
    part = Part(
        kind="encoder",
        architecture="swinunetr",
        config=encoder.as_json(),
        parameters=sum(tensor.numel() for tensor in encoder.state.values()),
        write=lambda path: save_encoder(path, encoder),
    )
    return part, {"limits": "An encoder alone: it finds nothing and starts a training."}


def _recognizer(file: Path) -> tuple[Part, dict[str, str]]:
    from recognition.engine.checkpoints import load_checkpoint

    loaded = load_checkpoint(file)
    part = Part(
        kind="recognizer",
        architecture=loaded.config.name,
        config=loaded.config.model_dump(mode="json"),
        parameters=sum(parameter.numel() for parameter in loaded.network.parameters()),
        write=lambda path: shutil.copyfile(file, path),
    )
    return part, {key: str(value) for key, value in loaded.notes.items()}


def _written_by_recognition(file: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as stream:
            return "recognition" in (stream.metadata() or {})
    except (SafetensorError, OSError):
        return False
