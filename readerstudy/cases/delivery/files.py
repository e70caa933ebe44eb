"""The folder of a delivery: CT, mask, SEG, series and picture of each variant, and the manifest.

The folder is filled beside its place and renamed when all of it is written; the same input, wish
and versions give the same bytes in every file.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import readerstudy
from readerstudy.cases.errors import CasesError
from readerstudy.cases.priors import Appearance, table_prior
from readerstudy.library.imaging.geometry import VolumeData
from readerstudy.library.imaging.writing.dicom import write_series
from readerstudy.library.imaging.writing.marking import Marking, uid_of
from readerstudy.library.imaging.writing.nifti import Packed, pack, write_nifti
from readerstudy.library.imaging.writing.seg import write_seg
from readerstudy.storage import atomic_dir

from .hosts import Host
from .preview import Shown, preview_png
from .variants import Judge, Made, Mask, Variant, Wish, make_variants, why_not

if TYPE_CHECKING:
    from synthesis.engine.generators import Generator

MANIFEST = "manifest.json"
_PACKAGES = ("numpy", "scipy", "pydicom", "highdicom", "nibabel", "pillow")
_NETWORK_PACKAGES = ("torch", "monai")
Tell = Callable[[str], None]
#: Body Part Examined by organ; a bone may be anywhere.
BODY_PARTS = {"lung": "CHEST"} | dict.fromkeys(
    ("adrenal", "kidney", "liver", "pancreas", "spleen"), "ABDOMEN"
)


def check_folder(out: Path) -> None:
    """Raises CasesError when nothing can be written there."""
    if out.is_dir():
        if any(out.iterdir()):
            raise CasesError(f"The folder {out} is not empty; give a new one with --out.")
    elif out.exists():
        raise CasesError(f"{out} is a file, not a folder; give a new folder with --out.")


def deliver(
    host: Host,
    organ: Mask,
    tumor: Mask | None,
    wish: Wish,
    generator: Generator,
    judge: Judge,
    out: Path,
    *,
    appearance: Appearance | None = None,
    name_sources: bool,
    tell: Tell = lambda line: None,
    beside: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Make the variants and write the folder ``out``; returns the manifest.

    ``appearance`` is what the lesions should look like; by default the table's prior. ``beside``
    holds texts by the name of the file that they go into, next to the manifest.

    Raises:
        CasesError: the folder is in use, no variant can be made, or the disk refuses; nothing is
            left behind then.
    """
    from synthesis.engine.errors import SynthesisError

    check_folder(out)
    appearance = appearance or table_prior(wish.organ)
    digest = host.data.content_hash()
    base = pack(host.data.hu)
    done: list[dict[str, Any]] = []
    variants: list[Variant] = []
    try:
        with atomic_dir(out) as folder:
            for variant in make_variants(
                host, organ, tumor, wish, generator, judge, appearance.prior
            ):
                files = []
                if variant.hu is not None:
                    files = _write(folder, variant, host, base, wish, digest, name_sources)
                entry = _entry(variant, files, wish)
                done.append(entry)
                # only what the last sentence needs: a variant is as large as the CT
                variants.append(Variant(variant.number, variant.lesions, None, _NOTHING))
                tell(_line(entry))
            if not any(entry["made"] for entry in done):
                reason = why_not(variants)
                raise CasesError(reason.reason if reason else "No lesion could be made.")
            manifest = _manifest(host, digest, wish, generator, judge, done)
            manifest["input"] |= {
                "organ_mask_sha256": _mask_sha256(organ),
                "tumor_mask_sha256": None if tumor is None else _mask_sha256(tumor),
            }
            manifest["parameters"]["keep_source_uids"] = name_sources
            manifest["priors"] = {wish.organ: appearance.as_json()}
            _write_json(folder / MANIFEST, manifest)
            for name, text in (beside or {}).items():
                (folder / name).write_text(text, encoding="utf-8")
    except SynthesisError as error:
        raise CasesError(str(error)) from None
    except OSError as error:
        raise CasesError(
            f"The folder {out} cannot be written ({error.strerror}); nothing was left there."
        ) from None
    return manifest


_NOTHING = np.zeros((0, 0, 0), np.bool_)


def _write(
    folder: Path,
    variant: Variant,
    host: Host,
    base: Packed,
    wish: Wish,
    digest: str,
    name_sources: bool,
) -> list[str]:
    """All files of one variant; returns their names."""
    assert variant.hu is not None  # noqa: S101 - for the type checker
    stem = f"{variant.number:02d}"
    geometry = host.data.geometry
    key = uid_of(digest, *(_made(made).sha256 for made in variant.lesions), wish.seed)
    software = f"readerstudy {readerstudy.__version__}"
    parameters = _made(variant.lesions[0]).parameters
    painter = f"{parameters.get('generator', wish.generator)}"
    painter += f" {parameters.get('generator_version', '')}".rstrip()
    marking = Marking(
        subject=f"SYN-{digest[:10].upper()}",
        key=str(key),
        derivation=(
            f"{_lesions(wish)} inserted by {software}, generator {painter}, seed {wish.seed}, "
            f"variant {variant.number}, weights sha256 {checkpoint_of(variant) or 'none'}, "
            f"mask {uid_of(str(key), 'seg instance')}"
        ),
        description=f"{wish.organ} lesion",
        software=software,
        body_part=BODY_PARTS.get(wish.organ, ""),
        technical=host.technical,
        slices=host.slices,
        name_sources=name_sources,
    )
    description = f"SYNTHETIC {wish.organ} lesion, seed {wish.seed}, {software}"
    names = [f"{stem}_ct.nii.gz", f"{stem}_ct.json", f"{stem}_mask.nii.gz", f"{stem}_seg.dcm"]
    write_nifti(folder / names[0], pack(variant.hu, base), geometry, description)
    _write_json(
        folder / names[1], _sidecar(marking, digest, int((variant.hu != host.data.hu).sum()))
    )
    mask = variant.mask.view(np.uint8)
    write_nifti(folder / names[2], pack(mask), geometry, "SYNTHETIC lesion mask")
    label = f"synthetic {wish.organ} lesion"
    write_seg(folder / names[3], variant.mask, geometry, marking, label)
    if host.format == "dicom":
        write_series(folder / f"{stem}_dicom", VolumeData(variant.hu, geometry), marking)
        names.append(f"{stem}_dicom")
    picture = preview_png(host.data.hu, variant.hu, geometry, wish.organ, _shown(variant))
    (folder / f"{stem}_preview.png").write_bytes(picture)
    return [*names, f"{stem}_preview.png"]


def _made(made: Made) -> Any:
    """The lesion of a variant that was made whole."""
    assert made.lesion is not None  # noqa: S101 - a variant with voxels has all its lesions
    return made.lesion


def _lesions(wish: Wish) -> str:
    noun = "synthetic lesion" if wish.count == 1 else "synthetic lesions"
    return f"{wish.count} {noun} of the {wish.organ}"


def checkpoint_of(variant: Variant) -> str | None:
    """SHA-256 of the weights that painted a variant; None when none were used."""
    for made in variant.lesions:
        if made.lesion is not None:
            value = made.lesion.parameters.get("checkpoint_sha256")
            if value:
                return str(value)
    return None


def _shown(variant: Variant) -> list[Shown]:
    shown = []
    for number, made in enumerate(variant.lesions, start=1):
        lesion = _made(made)
        scores = made.outcome.verdict.scores  # type: ignore[union-attr]
        which = f"lesion {number}, " if len(variant.lesions) > 1 else ""
        contrast = scores.get("contrast_hu")
        words = f"Variant {variant.number:02d}, {which}{_diameter_mm(lesion):.1f} mm"
        if contrast is not None:
            words += f", contrast {contrast:+.0f} HU"
        shown.append(Shown(_center(lesion), lesion.diameter_mm, words))
    return shown


def _diameter_mm(lesion: Any) -> float:
    """Rounded once for manifest, terminal and preview, so that they never differ."""
    return round(float(lesion.diameter_mm), 2)


def _center(lesion: Any) -> tuple[float, float, float]:
    z, y, x = (
        float(where.mean()) + start
        for where, start in zip(lesion.mask.nonzero(), lesion.offset, strict=True)
    )
    return z, y, x


def _sidecar(marking: Marking, digest: str, changed: int) -> dict[str, Any]:
    return {
        "SyntheticData": "YES",
        "ImageType": ["DERIVED", "SECONDARY", "AXIAL"],
        "Modality": "CT",
        "Units": "HU",
        "DerivationDescription": marking.derivation,
        "SeriesDescription": f"SYNTHETIC {marking.description}",
        "SeriesInstanceUID": marking.uid("series"),
        "SourceContentSHA256": digest,
        "ChangedVoxels": changed,
        "Software": marking.software,
    }


def _entry(variant: Variant, files: list[str], wish: Wish) -> dict[str, Any]:
    """What the manifest says about one variant."""
    return {
        "variant": variant.number,
        "made": variant.hu is not None,
        "checkpoint_sha256": checkpoint_of(variant),
        "lesions": [_lesion_entry(made) for made in variant.lesions],
        "asked_lesions": wish.count,
        "files": sorted(files),
    }


def _lesion_entry(made: Made) -> dict[str, Any]:
    verdict: Any = made.outcome.verdict
    entry: dict[str, Any] = {"seed": made.seed, "attempts": verdict.attempts}
    if made.lesion is None:
        entry["verdict"] = {"accepted": False, "reason": verdict.reason, "scores": {}}
    else:
        z, y, x = _center(made.lesion)
        entry |= {
            "verdict": {"accepted": True, "reason": "", "scores": verdict.scores},
            "diameter_mm": _diameter_mm(made.lesion),
            "center_xyz": [round(value, 1) for value in (x, y, z)],
            "sha256": made.lesion.sha256,
            "parameters": made.lesion.parameters,
        }
    entry["rejected"] = [
        {
            "attempt": item.attempt,
            "failed": item.code,
            "reason": item.reason,
            "scores": item.scores,
            "parameters": item.lesion.parameters,
        }
        for item in made.rejected
    ]
    return entry


def _manifest(
    host: Host,
    digest: str,
    wish: Wish,
    generator: Generator,
    judge: Judge,
    done: list[dict[str, Any]],
) -> dict[str, Any]:
    made = [entry for entry in done if entry["made"]]
    lesions = [lesion for entry in done for lesion in entry["lesions"]]
    geometry = host.data.geometry
    weights = next((entry["checkpoint_sha256"] for entry in made), None)
    return {
        "synthetic": True,
        "software": f"readerstudy {readerstudy.__version__}",
        "seed": wish.seed,
        "generator": {"name": generator.name, "version": generator.version},
        "checkpoint_sha256": weights,
        "gate": {"policy": judge.policy, "segmentor_sha256": judge.segmentor_sha256},
        "parameters": {
            "organ": wish.organ,
            "diameter_mm": list(wish.diameter_mm),
            "count": wish.count,
            "n": wish.variants,
            "mass_effect": wish.mass_effect,
            "attempts": wish.attempts,
        },
        "input": {
            "format": host.format,
            "content_sha256": digest,
            "voxels_xyz": list(geometry.shape[::-1]),
            "spacing_mm_xyz": [round(value, 6) for value in geometry.spacing],
        },
        "made": len(made),
        "asked": wish.variants,
        "attempts": sum(lesion["attempts"] for lesion in lesions),
        "rejected": sum(len(lesion["rejected"]) for lesion in lesions),
        "packages": packages(),
        "variants": done,
    }


def _mask_sha256(mask: Mask) -> str:
    """SHA-256 of a mask on the grid of the CT: one byte for each voxel, (z, y, x)."""
    return hashlib.sha256(np.ascontiguousarray(mask, dtype=np.uint8).data).hexdigest()


def packages() -> dict[str, str]:
    """Versions that the bytes may depend on; the network's only when a network is loaded."""
    import sys

    names = [*_PACKAGES, *(name for name in _NETWORK_PACKAGES if name in sys.modules)]
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _line(entry: dict[str, Any]) -> str:
    """What is said on the terminal about one variant."""
    rejected = sum(len(lesion["rejected"]) for lesion in entry["lesions"])
    tries = f", {rejected} rejected before" if rejected else ""
    if not entry["made"]:
        return f"{entry['variant']:02d}  not made: {entry['lesions'][-1]['verdict']['reason']}"
    parts = []
    for lesion in entry["lesions"]:
        contrast = lesion["verdict"]["scores"].get("contrast_hu")
        words = "" if contrast is None else f", {contrast:+.0f} HU"
        parts.append(f"{lesion['diameter_mm']:.1f} mm{words}")
    return f"{entry['variant']:02d}  {'; '.join(parts)}{tries}"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, default=_plain)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """numpy numbers as JSON numbers."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in a manifest")
