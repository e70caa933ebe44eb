"""File work handed to the workers of many machines: a job for each CT or scan without a result.

All machines must see the same files under the same paths. An item is done when its result says it
was made of these files with these settings, so a job that runs twice makes nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import DatabaseError

from readerstudy.batch import check_names
from readerstudy.jobs import batches
from readerstudy.jobs.batches import Item
from readerstudy.jobs.models import JobBatch
from readerstudy.jobs.registry import JobContext, job

from .errors import CasesError

if TYPE_CHECKING:
    from .delivery.many import Recipe
    from .delivery.orders import Order
    from .evaluation.pairs import Pair
    from .evaluation.scans import Rules
    from .recognition.finding import Settings, Wanted
    from .recognition.weights import Weights

SYNTHESIZE, RECOGNIZE = "cases.synthesize_file", "cases.recognize_file"
EVALUATE = "cases.evaluate_file"
Thing = TypeVar("Thing")


# ---------------------------------------------------------------------------------- handing it in
def submit_synthesis(
    orders: Sequence[Order], recipe: Recipe, out: Path, queue: str
) -> JobBatch | None:
    """A job for each CT that has no result of this recipe; None where all have one.

    Raises:
        Conflict: another batch is at work on `out`.
    """
    from .delivery.many import is_done

    return _submit(
        SYNTHESIZE,
        orders,
        lambda order: is_done(order, recipe),
        lambda order: Item(order.name, _plain(order)),
        title=f"Synthetic {recipe.wish.organ} lesions in {_count(orders, 'CT')}",
        params={"recipe": recipe.as_json()},
        place=str(out.resolve()),
        queue=queue,
    )


def submit_recognition(
    wanted: Sequence[Wanted],
    weights: Weights,
    sha256: str,
    settings: Settings,
    out: Path,
    queue: str,
) -> JobBatch | None:
    """As `submit_synthesis`, for tumors to be found."""
    from .recognition.finding import is_done

    return _submit(
        RECOGNIZE,
        wanted,
        lambda one: is_done(one, settings, sha256),
        lambda one: Item(one.name, _plain(one)),
        title=f"Tumors in {_count(wanted, 'CT')}",
        params={
            "weights": {**_plain(weights), "sha256": sha256},
            "settings": asdict(settings),
        },
        place=str(out.resolve()),
        queue=queue,
    )


def submit_evaluation(
    pairs: Sequence[Pair], rules: Rules, out: Path, queue: str
) -> JobBatch | None:
    """As `submit_synthesis`, for masks to be measured."""
    from .evaluation.scans import is_done

    return _submit(
        EVALUATE,
        pairs,
        lambda pair: is_done(pair, rules),
        lambda pair: Item(f"{pair.method}/{pair.name}", _plain(pair)),
        title=f"Measurements of {_count(pairs, 'predicted mask')}",
        params={"rules": asdict(rules)},
        place=str(out.resolve()),
        queue=queue,
    )


def check_free(out: Path) -> None:
    """Raises Conflict when a batch is at work on `out`. Without a database there are none."""
    with suppress(DatabaseError):
        batches.check_free(str(out.resolve()))


def _submit(
    kind: str,
    things: Sequence[Thing],
    done: Callable[[Thing], bool],
    item: Callable[[Thing], Item],
    **about: Any,
) -> JobBatch | None:
    check_names(item(thing).name for thing in things)
    left = [item(thing) for thing in things if not done(thing)]
    if not left:
        return None
    return batches.submit(kind, left, found=len(things) - len(left), **about)


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things):,} {noun}" + ("s" if len(things) != 1 else "")


def _plain(thing: Any) -> dict[str, Any]:
    """A dataclass of texts and paths as JSON; its paths absolute."""
    values = asdict(thing)
    return {k: str(v.absolute()) if isinstance(v, Path) else v for k, v in values.items()}


def _paths(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {k: Path(v) if k in names and v is not None else v for k, v in values.items()}


# ------------------------------------------------------------------------------------ in a worker
def _once(done: Callable[[], bool], work: Callable[[], None]) -> dict[str, Any]:
    """Do the work unless its result is there, also where another attempt was quicker."""
    if done():
        return {"found": True}
    try:
        work()
    except CasesError:
        if not done():
            raise
    return {}


@job(SYNTHESIZE, title="Synthetic lesions in a CT")
def run_synthesize(ctx: JobContext, recipe: dict[str, Any], **order: Any) -> dict[str, Any]:
    """One CT of `submit_synthesis`."""
    from .delivery.many import Recipe, is_done, make
    from .delivery.orders import Order

    one, how = Order(**_paths(order, "ct", "out")), Recipe.from_json(recipe)
    made = 0

    def tell(line: str) -> None:
        nonlocal made
        made += 1
        ctx.progress(made, how.wish.variants, line)

    ctx.progress(0, how.wish.variants)
    return _once(lambda: is_done(one, how), lambda: make(one, how, tell))


@job(RECOGNIZE, title="Tumors in a CT", queue="gpu")
def run_recognize(
    ctx: JobContext, weights: dict[str, Any], settings: dict[str, Any], **wanted: Any
) -> dict[str, Any]:
    """One CT of `submit_recognition`, on a GPU where there is one."""
    from recognition.engine.training.team import choose_device

    from .recognition.finding import Settings, Wanted, is_done, look
    from .recognition.weights import Weights, load

    one, how = Wanted(**_paths(wanted, "ct", "out")), Settings(**settings)
    network = Weights(**{**_paths(weights, "path"), "organs": tuple(weights["organs"])})
    ctx.progress(0, 0)
    # the same for every job of this process, and refused where it is not the one asked for
    load(network).network.to(choose_device("auto"))
    return _once(
        lambda: is_done(one, how, network.sha256),
        lambda: look(one, network, how, ctx.progress),
    )


@job(EVALUATE, title="Measurements of a mask")
def run_evaluate(ctx: JobContext, rules: dict[str, Any], **pair: Any) -> dict[str, Any]:
    """One scan of `submit_evaluation`."""
    from .evaluation.pairs import Pair
    from .evaluation.scans import Rules, evaluate, is_done

    one = Pair(**_paths(pair, "prediction", "probability", "reference", "result"))
    how = Rules(**{**rules, "labels": tuple(rules["labels"])})
    ctx.progress(0, 1)
    return _once(lambda: is_done(one, how), lambda: evaluate(one, how))
