"""Machines read a trial: prepare what they see, learn from other patients, rate, store, log.

Can be stopped and run again: what was prepared is kept on disk until the end, each machine's
readings are stored as soon as it is done, and one that has read on the same basis is not run again.
Nothing that is reported on the way depends on what a case is, or on how well a machine does.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction

from readerstudy import __version__
from readerstudy.analysis.models import MachineReader, MachineReading
from readerstudy.analysis.selectors import protocol_version
from readerstudy.audit.services import canonical, record, trial_chain
from readerstudy.cases.models import Candidate
from readerstudy.errors import Conflict
from readerstudy.storage import atomic_write_bytes, data_path
from readerstudy.trials.models import Case, Trial
from readerstudy.trials.preparation import rendition_rule
from readerstudy.trials.selectors import protocol_of
from recognition.engine.readers import VERSION
from recognition.engine.readers.registry import Tools, get_machine, learns, title_of

from . import selectors, words

if TYPE_CHECKING:
    import numpy as np

    from recognition.engine.readers.reading import Examples, Outcome
    from recognition.engine.readers.registry import Machine
    from recognition.engine.readers.view import View

Progress = Callable[[int, int, str], None]
READ = "analysis.machine_read"
#: Steps of the bar: looking takes the first part, learning the rest.
_LOOK, _LEARN = 600, 400


def _silent(done: int, total: int, message: str) -> None:
    """Progress for callers that show none."""


@dataclass(frozen=True)
class Done:
    """Which machines have read now or before, and why the others have not."""

    read: list[str]
    kept: list[str]
    left_out: dict[str, str]


def read_by_machines(
    trial: Trial,
    names: Sequence[str] | None = None,
    *,
    actor: Any = None,
    progress: Progress = _silent,
    machines: dict[str, Machine] | None = None,
) -> Done:
    """Let machines read the counted cases of a trial.

    A machine that must learn and has too few lesions of other patients is left out, with the
    reason. After unblinding a machine that has read is never run again, whatever has changed.

    Args:
        machines: built ones by name, in place of the registry's.

    Raises:
        Conflict: the trial is a draft.
        UserError: an unknown machine, or files that are missing.
    """
    selectors.require_read(trial)
    wanted = selectors.wanted_names(None if names is None else list(names))
    work = _Work(trial, selectors.pool(trial))
    short = selectors.shortage_of(work.pool)
    left_out = {n: f"{short}." for n in wanted if learns(n) and short}
    kept = [n for n in wanted if n not in left_out and work.stands(n)]
    todo = [n for n in wanted if n not in left_out and n not in kept]
    if todo:
        built = {n: (machines or {}).get(n) or get_machine(n, work.tools(n)) for n in todo}
        inputs = work.look(built, progress)
        for number, name in enumerate(todo):
            share = _part(progress, number, len(todo), title_of(name))
            outcome = work.read(built[name], *inputs[name], share)
            _store(work, name, built[name], outcome, actor)
        shutil.rmtree(work.folder, ignore_errors=True)
    progress(_LOOK + _LEARN, _LOOK + _LEARN, "Done")
    return Done(todo, kept, left_out)


def _part(progress: Progress, number: int, parts: int, title: str) -> Callable[[float], None]:
    last = [-1]

    def tell(share: float) -> None:
        at = _LOOK + round(_LEARN * (number + share) / parts)
        if at != last[0]:
            last[0] = at
            progress(at, _LOOK + _LEARN, f"{title}: learning and reading")

    tell(0.0)
    return tell


class _Work:
    """One trial, the lesions to learn from, and what follows from them."""

    def __init__(self, trial: Trial, pool: list[Candidate]) -> None:
        self.trial = trial
        self.pool = pool
        self.cases = list(
            trial.cases.filter(phase=Case.Phase.MAIN).select_related("rendition").order_by("number")
        )
        self.protocol = protocol_of(protocol_version(trial))
        self.folder = data_path("machines", str(trial.pk), "prepared")
        self.patients = [selectors.patient_of(row) for row in pool]

    def segmentor(self) -> dict[str, str]:
        from readerstudy.cases.engines import segmentor_record

        return segmentor_record()

    def tools(self, name: str) -> Tools:
        if learns(name):
            return Tools()
        from readerstudy.cases.engines import tumor_eye

        return Tools(segmenter=tumor_eye()[0])

    def examples_sha256(self) -> str:
        rows = [[str(row.pk), row.kind, row.patch_sha256, p]
                for row, p in zip(self.pool, self.patients, strict=True)]  # fmt: skip
        return hashlib.sha256(canonical(rows)).hexdigest()

    def basis(self, name: str) -> str:
        """Hash of everything that the readings of a machine follow from."""
        document = {
            "machine": name,
            "version": VERSION,
            "seed": self.trial.seed,
            "cases": [[case.number, case.rendition.sha256] for case in self.cases],
            "from": self.examples_sha256() if learns(name) else self.segmentor()["sha256"],
        }
        return hashlib.sha256(canonical(document)).hexdigest()

    def stands(self, name: str) -> bool:
        """Whether the machine has read and need not, or may not, read again."""
        row = self.trial.machines.filter(name=name).first()
        if row is None:
            return False
        return self.trial.state == Trial.State.UNBLINDED or row.basis == self.basis(name)

    # ------------------------------------------------------------------------------------ looking

    def look(
        self, built: dict[str, Machine], progress: Progress
    ) -> dict[str, tuple[np.ndarray, Examples | None]]:
        """What each machine goes by, of the cases and of the lesions to learn from."""
        import numpy as np

        from readerstudy.cases.sight import as_seen, seen
        from recognition.engine.readers.reading import Examples

        teach = [n for n, machine in built.items() if machine.trained]
        pool = self.pool if teach else []
        total = len(self.cases) + len(pool)
        rule = rendition_rule(self.protocol)
        gone: dict[str, list[np.ndarray]] = {n: [] for n in built}
        for number, case in enumerate(self.cases, start=1):
            progress(_share(number - 1, total), _LOOK + _LEARN,
                     f"Looking at case {number} of {len(self.cases)}")  # fmt: skip
            made = self._prepared(
                f"case-{case.rendition_id}", built, lambda row=case: seen(row.rendition)
            )
            for n in built:
                gone[n].append(made[n])
        learned: dict[str, list[np.ndarray]] = {n: [] for n in teach}
        own = {n: built[n] for n in teach}
        for number, row in enumerate(pool, start=1):
            progress(_share(len(self.cases) + number - 1, total), _LOOK + _LEARN,
                     f"Looking at lesion {number} of {len(pool)} outside the trial")  # fmt: skip
            made = self._prepared(
                f"lesion-{row.pk}", own, lambda row=row: as_seen(row, _rule(rule), self._draw(row))
            )
            for n in teach:
                learned[n].append(made[n])
        synthetic = np.array([row.kind == Candidate.Kind.SYNTHETIC for row in pool], bool)
        return {
            n: (
                np.stack(gone[n]),
                Examples(np.stack(learned[n]), synthetic, self.patients) if n in teach else None,
            )
            for n in built
        }

    def _draw(self, row: Candidate) -> np.random.Generator:
        import numpy as np

        return np.random.default_rng([self.trial.seed % (1 << 63), row.pk.int])

    def _prepared(
        self, key: str, built: dict[str, Machine], view: Callable[[], View]
    ) -> dict[str, np.ndarray]:
        """From the disk where an earlier attempt left it."""
        import numpy as np

        path = self.folder / f"{key}-{VERSION}.npz"
        known: dict[str, np.ndarray] = {}
        if path.is_file():
            with np.load(path, allow_pickle=False) as stored:
                known = {n: stored[n] for n in built if n in stored.files}
        if missing := [n for n in built if n not in known]:
            sight = view()
            known |= {n: np.asarray(built[n].prepare(sight)) for n in missing}
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **known)
            atomic_write_bytes(path, buffer.getvalue())
        return known

    def read(
        self,
        machine: Machine,
        cases: np.ndarray,
        examples: Examples | None,
        tell: Callable[[float], None],
    ) -> Outcome:
        from recognition.engine.readers.reading import read

        name = int.from_bytes(hashlib.sha256(machine.name.encode()).digest()[:4])
        return read(machine, cases, examples, (self.trial.seed % (1 << 63), name), tell)

    # -------------------------------------------------------------------------------------- cards

    def card(self, machine: Machine, outcome: Outcome) -> dict[str, Any]:
        """What the machine is, what it learned from, and how it did there."""
        examples, auc = None, None
        if machine.trained:
            patients = len(set(self.patients))
            examples = words.examples_of(self.pool, patients, self.examples_sha256())
            learned, rule = words.learned_from(examples), words.rule_of(outcome.folds)
            auc = self._out_of_fold(outcome)
        else:
            eye = machine.segmenter  # type: ignore[attr-defined]
            knows = sorted(set(eye.tumor_labels.values()))
            learned = words.untrained(self.segmentor(), knows, list(self.protocol.design.organs))
            rule = machine.rule  # type: ignore[attr-defined]
        return {
            "title": machine.title,
            "looks_at": machine.looks_at,
            "trained": machine.trained,
            "learned_from": learned,
            "examples": examples,
            "out_of_fold_auc": auc,
            "folds": outcome.folds,
            "rule": rule,
            "cuts": list(astuple(outcome.cuts)),
            "facts": {**outcome.facts, "software": f"readerstudy {__version__}"},
        }

    def _out_of_fold(self, outcome: Outcome) -> dict[str, Any]:
        import numpy as np

        from readerstudy.analysis.stats.roc import delong

        made = np.array([row.kind == Candidate.Kind.SYNTHETIC for row in self.pool], bool)
        scores = outcome.out_of_fold
        plain: dict[str, Any] = json.loads(
            json.dumps(asdict(delong(scores[made], scores[~made], positive="synthetic")))
        )
        return plain


def _share(done: int, total: int) -> int:
    return round(_LOOK * done / max(1, total))


def _rule(document: dict[str, Any]) -> Any:
    from readerstudy.cases.rendition import Rule

    return Rule.from_document(document)


def _store(work: _Work, name: str, machine: Machine, outcome: Outcome, actor: Any) -> None:
    """Keep the readings of one machine, in place of those it gave on another basis."""
    answers = [
        [case.number, float(score), int(rating)]
        for case, score, rating in zip(work.cases, outcome.scores, outcome.ratings, strict=True)
    ]
    with transaction.atomic():
        trial = Trial.objects.select_for_update().get(pk=work.trial.pk)
        earlier = trial.machines.filter(name=name).first()
        if earlier is not None and trial.state == Trial.State.UNBLINDED:
            raise Conflict(
                f"Trial {trial.slug} was unblinded while {machine.title} read it again: what it "
                "said before stands."
            )
        if earlier is not None:
            earlier.delete()
        row = MachineReader.objects.create(
            trial=trial,
            name=name,
            card=work.card(machine, outcome),
            basis=work.basis(name),
            sha256=hashlib.sha256(canonical(answers)).hexdigest(),
            created_by=actor,
        )
        MachineReading.objects.bulk_create(
            MachineReading(machine=row, case=case, score=score, rating=rating)
            for case, (_, score, rating) in zip(work.cases, answers, strict=True)
        )
        record(
            actor,
            READ,
            row,
            chain=trial_chain(trial.slug),
            data={
                "machine": machine.title,
                "cases": len(answers),
                "readings_sha256": row.sha256,
                "again": earlier is not None,
            },
        )
