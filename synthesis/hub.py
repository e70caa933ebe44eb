"""Fetch a weight file from the Hugging Face hub, where there is a network and the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthesis.engine.errors import SynthesisError

#: The file in the authors' repository that holds generator, discriminator and segmentor.
PUBLISHED_FILE = "baseline/TGAN.pt"
_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Fetched:
    """A downloaded file and the exact commit it is from."""

    path: Path
    revision: str
    licence: str


def fetch(repository: str, file: str, revision: str, folder: Path) -> Fetched:
    """Download `file` of `repository` at `revision` into `folder`.

    The revision is resolved to a commit first and the download pinned to it, so that what is
    recorded is what was fetched even if the branch moves meanwhile.

    Raises:
        SynthesisError: the package is not installed, there is no network, or no such file.
    """
    otherwise = f"or download {file} of {repository} elsewhere and give the file"
    try:
        import huggingface_hub
    except ImportError as error:
        raise SynthesisError(
            "Downloading needs the package huggingface_hub: "
            f"`pip install huggingface_hub`, {otherwise}."
        ) from error
    try:
        info = huggingface_hub.HfApi().model_info(repository, revision=revision, timeout=_TIMEOUT_S)
        commit = str(info.sha)
        path = huggingface_hub.hf_hub_download(repository, file, revision=commit, local_dir=folder)
    # Whatever a third party's client raises (its own errors, httpx's, OSError): one sentence.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SynthesisError(
            f"{file} of {repository} ({revision}) could not be fetched from the hub ({reason}); "
            f"check the network and the names, {otherwise}."
        ) from error
    card = getattr(info, "card_data", None)
    licence = str(getattr(card, "license", "") or "")
    return Fetched(Path(path), commit, licence)
