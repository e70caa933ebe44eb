"""All reads of this room."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Q, QuerySet

from readerstudy.jobs.models import Job
from readerstudy.library.models import Mask, Volume

from .models import Candidate, SynthesisRun
from .services.foreign import IMPORT
from .services.runs import REAL

Kind, State = Candidate.Kind, Candidate.State


@dataclass
class ArmCounts:
    """Candidates of one organ and kind, by state."""

    pending: int = 0
    accepted: int = 0
    rejected: int = 0

    @property
    def total(self) -> int:
        return self.pending + self.accepted + self.rejected


@dataclass
class OrganCounts:
    organ: str
    real: ArmCounts = field(default_factory=ArmCounts)
    synthetic: ArmCounts = field(default_factory=ArmCounts)


def summary() -> list[OrganCounts]:
    """Candidates by organ, kind and state, in one query."""
    found: dict[str, OrganCounts] = {}
    groups = Candidate.objects.order_by().values("organ", "kind", "state").annotate(n=Count("pk"))
    for group in groups:
        counts = found.setdefault(group["organ"], OrganCounts(group["organ"]))
        setattr(getattr(counts, group["kind"]), group["state"], group["n"])
    return sorted(found.values(), key=lambda counts: counts.organ)


def runs() -> QuerySet[SynthesisRun]:
    """Runs, newest first, with the number of their candidates by state."""
    of = {
        f"n_{state}": Count("candidates", filter=Q(candidates__state=state), distinct=True)
        for state in State.values
    }
    return (
        SynthesisRun.objects.select_related("job", "created_by")
        .annotate(n_volumes=Count("volumes", distinct=True), **of)
        .order_by("-created_at")
    )


def active_search() -> Job | None:
    """The newest search for real lesions, when it is at work or has failed."""
    job = Job.objects.filter(kind=REAL).order_by("-created_at").first()
    shown = job is not None and (job.is_active or job.state == Job.State.FAILED)
    return job if shown else None


def last_import(user: Any) -> Job | None:
    """The newest import of a synthetic volume that a person asked for."""
    return Job.objects.filter(kind=IMPORT, created_by=user).order_by("-created_at").first()


#: Value of ``arm`` in an address that asks for curation without the arm.
HIDDEN = "hidden"


@dataclass(frozen=True)
class Filters:
    """What a list or a queue of candidates is narrowed to; empty means all.

    ``hidden`` queues show nothing that tells real from synthetic, and mix both.
    """

    state: str = ""
    kind: str = ""
    organ: str = ""
    run: str = ""
    hidden: bool = False

    @classmethod
    def from_query(cls, query: Any, *, state: str = "") -> Filters:
        run = str(query.get("run", ""))
        try:
            run = str(uuid.UUID(run)) if run else ""
        except ValueError:
            run = ""
        asked, kind = str(query.get("state", state)), str(query.get("kind", ""))
        return cls(
            state=asked if asked in State.values else "",
            kind=kind if kind in Kind.values else "",
            organ=str(query.get("organ", ""))[:40],
            run=run,
            hidden=query.get("arm") == HIDDEN,
        )

    def pairs(self) -> list[tuple[str, str]]:
        """Names and values for hidden inputs, so that a form comes back to the same list."""
        values = {"state": self.state, "kind": self.kind, "organ": self.organ, "run": self.run}
        values["arm"] = HIDDEN if self.hidden else ""
        return [(key, value) for key, value in values.items() if value]

    def query(self, **more: str) -> str:
        """As a query string, without the state, which a queue fixes itself."""
        values = {"kind": self.kind, "organ": self.organ, "run": self.run}
        values |= {"arm": HIDDEN if self.hidden else "", **more}
        return urlencode({key: value for key, value in values.items() if value})


def candidates(filters: Filters) -> QuerySet[Candidate]:
    """Candidates in the order of their making."""
    rows = Candidate.objects.select_related("volume", "run", "curated_by")
    wanted = {
        "state": filters.state,
        "kind": filters.kind,
        "organ": filters.organ,
        "run_id": filters.run,
    }
    rows = rows.filter(**{key: value for key, value in wanted.items() if value})
    # Their making would give them away: real ones come in one go, made ones run by run.
    return rows.order_by("id") if filters.hidden else rows


def drawable() -> QuerySet[Candidate]:
    """Accepted candidates that a trial may draw.

    A lesion accepted as real is left out once its volume has turned out to be synthetic.
    """
    made = Q(kind=Kind.REAL) & ~Q(volume__synthetic="")
    return Candidate.objects.filter(state=State.ACCEPTED).exclude(made)


def pending_count(filters: Filters) -> int:
    return candidates(filters).filter(state=State.PENDING).count()


def next_pending(filters: Filters, after: Candidate | None = None) -> Candidate | None:
    """The next pending candidate after `after`, starting again from the first at the end."""
    rows = candidates(filters).filter(state=State.PENDING)
    if after is not None:
        rows = rows.exclude(pk=after.pk)
        later = rows.filter(_behind(after, filters)).first()
        if later is not None:
            return later
    return rows.first()


def previous_pending(filters: Filters, before: Candidate) -> Candidate | None:
    rows = candidates(filters).filter(state=State.PENDING).exclude(pk=before.pk)
    return rows.exclude(_behind(before, filters)).last() or rows.last()


def _behind(candidate: Candidate, filters: Filters) -> Q:
    if filters.hidden:
        return Q(pk__gt=candidate.pk)
    same = Q(created_at=candidate.created_at, pk__gt=candidate.pk)
    return Q(created_at__gt=candidate.created_at) | same


def organs_in_use() -> list[str]:
    return sorted(set(Candidate.objects.order_by().values_list("organ", flat=True).distinct()))


@dataclass(frozen=True)
class Host:
    """A volume that lesions can be made in, and the organs it has masks of."""

    volume: Volume
    organs: list[str]
    tumors: int


def hosts() -> list[Host]:
    """Volumes with at least one organ mask, by name."""
    masks: dict[Any, list[Mask]] = defaultdict(list)
    for mask in Mask.objects.all():
        masks[mask.volume_id].append(mask)
    return [
        Host(
            volume,
            sorted({m.label for m in masks[volume.pk] if m.kind == Mask.Kind.ORGAN}),
            sum(m.kind == Mask.Kind.TUMOR for m in masks[volume.pk]),
        )
        for volume in Volume.objects.filter(masks__kind=Mask.Kind.ORGAN).distinct().order_by("name")
    ]


def has_tumor_masks() -> bool:
    return Mask.objects.filter(kind=Mask.Kind.TUMOR).exists()


#: What the gate asks, by the code the engine stores with a rejected attempt.
CHECKS = {
    "voxels": "Too few voxels",
    "diameter": "Another size than asked for",
    "surroundings": "Too little organ around it",
    "faint": "Contrast too faint for the organ",
    "strong": "Contrast too strong for the organ",
    "drowned": "Contrast drowned in noise",
    "noise": "Noise unlike that around it",
    "volume": "Too small a volume",
    "unrecognized": "Not recognized by the segmentor",
    "ring": "Segmentor sees tumor around it",
}


@dataclass(frozen=True)
class Reason:
    """Why attempts were rejected, or lesions not made: how often, and as a share of the most."""

    words: str
    count: int
    percent: int


@dataclass(frozen=True)
class RunOutcome:
    """What came of a run so far.

    ``passed`` of ``requested`` lesions passed the gate. ``rejected`` counts drawn lesions that
    failed it, by ``reasons``; ``unmade`` counts lesions given up, by sentence.
    """

    requested: int
    passed: int
    finished: int
    rejected: int
    reasons: list[Reason]
    unmade: list[Reason]

    @property
    def given_up(self) -> int:
        return self.finished - self.passed

    @property
    def attempts(self) -> int:
        return self.passed + self.rejected


def outcome(run: SynthesisRun) -> RunOutcome:
    """k of n, and why the others failed."""
    failed = run.candidates.filter(by_gate=True).values_list("verdict__failed", flat=True)
    reasons = Counter(CHECKS.get(code, "Another check") for code in failed)
    unmade = Counter(note["reason"] for note in run.notes)
    return RunOutcome(
        requested=run.requested,
        passed=run.made,
        finished=run.finished,
        rejected=reasons.total(),
        reasons=_ranked(reasons),
        unmade=_ranked(unmade),
    )


def _ranked(counted: Counter[str]) -> list[Reason]:
    most = max(counted.values(), default=1)
    return [Reason(words, n, round(100 * n / most)) for words, n in counted.most_common()]


def active_runs() -> QuerySet[SynthesisRun]:
    """Runs that wait or are at work, and the newest that failed or were stopped, oldest first."""
    states = [Job.State.QUEUED, Job.State.SENT, Job.State.RUNNING]
    return runs().filter(job__state__in=states).order_by("created_at")


def native_volume(candidate: Candidate) -> Any:
    """CT plus residual, int16 (z, y, x), on the native grid; the same steps for both kinds."""
    from .rendition import native_volume as made

    return made(candidate)
