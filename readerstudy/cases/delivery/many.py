"""Lesions in many CTs: each CT is a delivery of its own, made anew only when its input changed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from readerstudy.batch import REQUEST, stamp
from readerstudy.cases.errors import CasesError
from readerstudy.cases.priors import Appearance
from readerstudy.library.importing import parse_spec

from .files import deliver
from .hosts import read_host, read_mask
from .orders import Order
from .variants import Judge, Mask, Wish, known_generator, known_judge

if TYPE_CHECKING:
    from readerstudy.library.imaging.geometry import Geometry
    from synthesis.engine.generators import Generator
    from synthesis.engine.precision import Precision

#: Part of each hash: raise it when the same order could give other files.
_VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """What every CT of a batch is treated with: plain values, for other processes and job rows.

    ``wish.seed`` is that of the batch; each CT draws from one that follows from it and the name of
    the CT, so that neither order nor number of the others matters. ``priors`` is an `Appearance` as
    JSON; the hashes are those of the weights that were there when the batch was asked for.
    """

    wish: Wish
    checkpoint: str | None
    policy: str
    segmentor: str | None
    precision: str
    priors: str
    keep_source_uids: bool
    generator_sha256: str | None = None
    segmentor_sha256: str | None = None

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Recipe:
        wish = stored["wish"]
        wish = Wish(**{**wish, "diameter_mm": tuple(wish["diameter_mm"])})
        return cls(**{**stored, "wish": wish})

    def checked(self) -> Recipe:
        """The same with the hashes of its weights. Raises CasesError where some cannot be used."""
        generator, judge = _tools(
            self.wish.generator, self.checkpoint, self.policy, self.segmentor, self.precision
        )
        return replace(
            self,
            generator_sha256=_sha256(generator),
            segmentor_sha256=judge.segmentor_sha256,
        )


def volume_seed(seed: int, name: str) -> int:
    """The seed of one CT of a batch: it follows from the batch's and the CT's name alone."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 2


def is_done(order: Order, recipe: Recipe) -> bool:
    """Whether the result is there, of these files and this recipe."""
    try:
        stored = json.loads((order.out / REQUEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(stored.get("sha256") == _made_of(order, recipe))


def make(order: Order, recipe: Recipe, tell: Callable[[str], None] = lambda line: None) -> None:
    """Read one CT, make its variants and write its folder, whole or not at all.

    ``tell`` is called with a line after each variant.

    Raises:
        CasesError: the CT, a mask or the weights cannot be used, or no lesion can be made.
    """
    generator, judge = _tools(
        recipe.wish.generator, recipe.checkpoint, recipe.policy, recipe.segmentor, recipe.precision
    )
    _same(recipe, generator, judge)
    made_of = _made_of(order, recipe)
    host = read_host(order.ct)
    grid, frame = host.data.geometry, host.frame_uid
    organ = read_mask(_held(order.organ_mask), grid, frame)
    if (order.out / REQUEST).is_file():
        shutil.rmtree(order.out)  # of ours, from other files or with another recipe
    deliver(
        host,
        organ,
        _tumors(order, grid, frame),
        replace(recipe.wish, seed=volume_seed(recipe.wish.seed, order.name)),
        generator,
        judge,
        order.out,
        appearance=Appearance.from_json(json.loads(recipe.priors)),
        name_sources=recipe.keep_source_uids,
        tell=tell,
        # not in the manifest: a copy of the same CT has another time stamp
        beside={REQUEST: json.dumps({"sha256": made_of}) + "\n"},
    )


@lru_cache(maxsize=2)
def _tools(
    generator: str, checkpoint: str | None, policy: str, segmentor: str | None, precision: str
) -> tuple[Generator, Judge]:
    """What paints and what judges, loaded once per process."""
    kind = cast("Precision", precision)
    return known_generator(generator, checkpoint, kind), known_judge(policy, segmentor, kind)


def _sha256(generator: Generator) -> str | None:
    return getattr(getattr(generator, "checkpoint", None), "sha256", None)


def _same(recipe: Recipe, generator: Generator, judge: Judge) -> None:
    if (_sha256(generator), judge.segmentor_sha256) != (
        recipe.generator_sha256,
        recipe.segmentor_sha256,
    ):
        raise CasesError(
            "The weights are not those the batch was started with (their SHA-256 differs); start "
            "the batch again."
        )


def _made_of(order: Order, recipe: Recipe) -> str:
    document = {
        "version": _VERSION,
        "recipe": recipe.as_json(),
        "name": order.name,
        "files": [stamp(order.ct)]
        + [_mask_stamp(mask) for mask in (order.organ_mask, order.tumor_mask)],
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _mask_stamp(spec: str | None) -> list[Any] | None:
    if spec is None:
        return None
    path, parts = parse_spec(spec)
    return [*stamp(Path(path)), parts]


# --------------------------------------------------------------------------------------- the masks
def _held(spec: str) -> str:
    """The parts of a mask that its file marks: a list names the same ones for every file."""
    from readerstudy.library.imaging.errors import ImagingError
    from readerstudy.library.imaging.masks import choose, open_mask

    path, parts = parse_spec(spec)
    if not parts or "+" not in parts or not Path(path).is_file():
        return spec
    try:
        segments = open_mask(Path(path)).segments
    except ImagingError:
        return spec  # read_mask says what is wrong

    def marked(part: str) -> bool:
        try:
            return bool(choose(segments, part))
        except ImagingError:
            return False

    held = [part for part in parts.split("+") if marked(part)]
    return f"{path}#{'+'.join(held)}" if held else spec


def _tumors(order: Order, grid: Geometry, frame_uid: str) -> Mask | None:
    """The real tumors; None where there is no mask, or where it marks none."""
    from readerstudy.library.imaging.errors import ImagingError
    from readerstudy.library.imaging.masks import open_mask
    from readerstudy.library.imaging.nifti import NiftiFile, looks_like_nifti

    if order.tumor_mask is None:
        return None
    name, parts = parse_spec(order.tumor_mask)
    path = Path(name)
    try:
        if looks_like_nifti(path) and not NiftiFile(path).stored().any():
            return None
        marked = {str(segment.key) for segment in open_mask(path).segments}
    except (ImagingError, OSError):
        marked = set()  # read_mask says what is wrong
    wanted = set(parts.split("+")) if parts else set()
    numbers = wanted and all(part.isdigit() for part in wanted)
    if marked and numbers and not marked & wanted:
        return None
    return read_mask(_held(order.tumor_mask), grid, frame_uid)
