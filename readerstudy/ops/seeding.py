"""A trial to try the platform with: phantoms (or real volumes), both arms, readers, an open trial.

Every step takes what an earlier, interrupted start has left: equal volumes and lesions are
recognized by their content, so nothing doubles.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from readerstudy.accounts.models import User
from readerstudy.accounts.services import create_user
from readerstudy.errors import UserError
from readerstudy.jobs.services import execute
from readerstudy.trials.models import Trial

from .demo import ACCOUNTS

if TYPE_CHECKING:
    from readerstudy.cases.models import Candidate
    from readerstudy.library.models import Volume
    from readerstudy.trials.design.strata import Lesion
    from synthesis.engine.phantoms import Phantom

Say = Callable[[str], object]
SLUG = "demo"
SEED = 20251
# organ -> (real cases, synthetic cases) of the phantom trial, practice included.
PHANTOM_CASES = {"liver": (5, 5), "kidney": (4, 4), "lung": (4, 4)}
PHANTOM_SHAPE = (60, 256, 256)
# Phantoms of other patients, for machines to learn from: organ -> (with lesions, without), and the
# lesions of an arm that each of them holds.
POOL_PHANTOMS = {"liver": (2, 2), "kidney": (2, 2), "lung": (2, 2)}
POOL_LESIONS = 2
POOL_FIRST = 101
PRACTICE_PER_ARM = 2
MOST_PER_STRATUM = 12
DIAMETER_MM = (10.0, 28.0)


def demo_exists() -> bool:
    """Whether there is a whole demo trial: one still in draft was interrupted."""
    return Trial.objects.filter(slug=SLUG).exclude(state=Trial.State.DRAFT).exists()


def seed(say: Say, folder: Path | None = None) -> Trial:
    """Make the demo trial and open it. Raises UserError when `folder` gives no two arms."""
    people = _accounts()
    coordinator = people["coordinator"]
    volumes = (
        _real_volumes(folder, coordinator, say)
        if folder
        else _phantoms(coordinator, say, _one_for_each_case())
    )
    _candidates(volumes, coordinator, say, phantoms=folder is None)
    trial = _trial(coordinator, say, matrix=512 if folder else 256)
    say("Trial: readers, orders, opening")
    _open(trial, people)
    trial.refresh_from_db()
    return trial


def seed_pool(say: Say) -> int:
    """More lesions of both arms, of patients in no trial, so that machine readers can learn.

    Phantoms of one recipe with those of the demo. Returns how many lesions are accepted.
    """
    coordinator = _accounts()["coordinator"]
    wanted = [
        (organ, lesions)
        for organ, (sick, healthy) in POOL_PHANTOMS.items()
        for lesions in [POOL_LESIONS] * sick + [0] * healthy
    ]
    volumes = _phantoms(coordinator, say, wanted, POOL_FIRST)
    return len(_candidates(volumes, coordinator, say, phantoms=True, per_phantom=POOL_LESIONS))


def _accounts() -> dict[str, User]:
    people = {}
    for account in ACCOUNTS:
        role = "reader" if account.role.endswith("reader") else account.role
        people[account.role] = User.objects.filter(email=account.email).first() or create_user(
            account.email,
            password=account.password,
            display_name=account.display_name,
            site_role=role,
            experience_years=8 if role == "reader" else None,
            specialty="Abdominal imaging" if role == "reader" else "",
        )
    return people


def _drawn(wanted: Sequence[tuple[str, int]], first: int) -> Iterator[Phantom]:
    """A phantom for each (organ, lesions), in order, drawn on all cores from seeds of their own."""
    import signal
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    import numpy as np

    from synthesis.engine.phantoms import make_phantom

    # Fresh processes, not forks: the database connection must not be shared. Ctrl-C is for the
    # process that waits; it gives up what has not been begun.
    pool = ProcessPoolExecutor(
        max_workers=min(os.cpu_count() or 1, 4),
        mp_context=get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        futures = [
            pool.submit(
                make_phantom,
                np.random.default_rng([SEED, number]),
                "chest" if organ == "lung" else "abdomen",
                shape=PHANTOM_SHAPE,
                lesions=lesions,
                lesion_organs=[organ],
                diameter_mm=DIAMETER_MM,
            )
            for number, (organ, lesions) in enumerate(wanted, start=first)
        ]
        for future in futures:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _one_for_each_case() -> list[tuple[str, int]]:
    """One volume per case: half with one reference lesion, half without."""
    return [
        (organ, lesions)
        for organ, (real, synthetic) in PHANTOM_CASES.items()
        for lesions in [1] * real + [0] * synthetic
    ]


def _phantoms(
    actor: User, say: Say, wanted: Sequence[tuple[str, int]], first: int = 1
) -> list[Volume]:
    """A volume for each (organ, reference lesions in it), by one recipe, numbered from `first`."""
    from readerstudy.library.imaging.geometry import Geometry, VolumeData
    from readerstudy.library.services import MaskData, store_volume

    volumes = []
    for number, phantom in enumerate(_drawn(wanted, first), start=first):
        say(f"Phantom {number - first + 1} of {len(wanted)}")
        organ = wanted[number - first][0]
        masks = [MaskData("organ", name, mask, "phantom") for name, mask in phantom.organs.items()]
        if phantom.tumors.any():
            masks.append(MaskData("tumor", organ, phantom.tumors, "phantom"))
        identity = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
        geometry = Geometry(phantom.hu.shape, phantom.spacing, (0.0, 0.0, 0.0), identity)
        stored = store_volume(
            VolumeData(phantom.hu, geometry),
            masks,
            patient=f"PHANTOM-{number:02d}",
            origin_format="phantom",
            name=f"Phantom {number:02d}, {phantom.kind}",
            source="Procedural phantom",
            actor=actor,
        )
        volumes.append(stored.volume)
    return volumes


def _real_volumes(folder: Path, actor: User, say: Say) -> list[Volume]:
    """Import every sub-folder of `folder` (or itself), guessing from names what each mask shows."""
    from readerstudy.library import importing
    from readerstudy.library.collect import files_below
    from readerstudy.library.imaging.scan import scan
    from readerstudy.library.importing import MaskUse
    from readerstudy.library.models import Volume

    folders = sorted(path for path in folder.iterdir() if path.is_dir()) or [folder]
    found: list[str] = []
    for number, path in enumerate(folders, start=1):
        say(f"Volume {number} of {len(folders)}: {path.name}")
        findings = scan(files_below(path))
        if not findings.volumes:
            say("  no CT found here that is not in an archive; left")
            continue
        uses = []
        for mask in findings.masks:
            if len(mask.segments) != 1:
                say(f"  {mask.name}: several labels; left")
                continue
            kind, organ = importing.guess(mask.name, mask.segments[0], True)
            if kind:
                uses.append(MaskUse(mask, kind, organ or "tumor"))
        result = importing.run(findings, uses, source=path.name, actor=actor)
        for outcome in result.outcomes:
            say(f"  {outcome.state}: {outcome.name or outcome.sentence}")
            found += [outcome.volume] if outcome.volume else []
    if not found:
        raise UserError(f"No CT volume was found in {folder}; give a folder with one per case.")
    return list(Volume.objects.filter(pk__in=found))


def _candidates(
    volumes: Sequence[Volume], actor: User, say: Say, *, phantoms: bool, per_phantom: int = 1
) -> list[Candidate]:
    """Both arms: each real lesion, and about as many synthetic ones, accepted as they come."""
    from readerstudy.cases.models import Candidate, SynthesisRun
    from readerstudy.cases.services import decide_many, make_candidates, start_run
    from readerstudy.library.models import Mask

    say("Real lesions")
    for volume in volumes:
        make_candidates(volume, actor=actor)
    real = Counter(
        Candidate.objects.filter(volume__in=volumes, kind="real").values_list("organ", flat=True)
    )
    hosts = [v for v in volumes if not (phantoms and v.masks.filter(kind="tumor").exists())]
    for organ in sorted(real):
        # What an interrupted start has made stays; only what is missing is made.
        inside = [
            v
            for v in hosts
            if v.masks.filter(kind=Mask.Kind.ORGAN, label=organ).exists()
            and not v.candidates.filter(kind="synthetic", organ=organ).exists()
            # Each phantom serves one case, so each is host in the organ it was made for.
            and (not phantoms or _organ_of_phantom(v) == organ)
        ]
        if not inside:
            continue
        run = start_run(
            volumes=inside,
            organs=[organ],
            per_volume=per_phantom if phantoms else max(1, -(-real[organ] // len(inside))),
            diameter_mm=DIAMETER_MM,
            seed=SEED + SynthesisRun.objects.count(),
            actor=actor,
        )
        say(f"Synthetic lesions: {organ}")
        execute(str(run.job_id))
    pending = Candidate.objects.filter(volume__in=volumes, state=Candidate.State.PENDING)
    ids = list(pending.values_list("pk", flat=True))
    if ids:
        decide_many(ids, Candidate.State.ACCEPTED, actor=actor)
    return list(Candidate.objects.filter(volume__in=volumes, state=Candidate.State.ACCEPTED))


def _organ_of_phantom(volume: Volume) -> str:
    number, plan = int(volume.patient.rsplit("-", 1)[1]), PHANTOM_CASES
    if number >= POOL_FIRST:
        number, plan = number - POOL_FIRST + 1, POOL_PHANTOMS
    for organ, (real, synthetic) in plan.items():
        number -= real + synthetic
        if number <= 0:
            return organ
    raise ValueError(volume.patient)


def _trial(actor: User, say: Say, *, matrix: int) -> Trial:
    from readerstudy.trials.preparation import prepare
    from readerstudy.trials.selectors import lesions
    from readerstudy.trials.services import choose_cases, create_trial

    protocol = demo_protocol(lesions(), matrix)
    drafts = Trial.objects.filter(slug=SLUG, state=Trial.State.DRAFT)
    if unfinished := drafts.filter(title=protocol["title"]).first():
        _remove(unfinished)
    trial = create_trial(
        title=protocol["title"], slug=SLUG, seed=SEED, actor=actor, protocol=protocol
    )
    draw = choose_cases(trial, actor=actor)
    if draw.missing:
        _remove(trial)
        raise UserError(f"The demo trial cannot be filled: {draw.missing[0]}")
    say("Images of the cases")
    prepare(trial, actor=actor)
    trial.refresh_from_db()
    return trial


def _remove(trial: Trial) -> None:
    # The trial points to its protocol and the protocol to its trial: let go of one first.
    Trial.objects.filter(pk=trial.pk, state=Trial.State.DRAFT).update(active_protocol=None)
    trial.refresh_from_db()
    trial.delete()


def demo_protocol(stock: Sequence[Lesion], matrix: int) -> dict[str, Any]:
    """The template with strata and practice that the accepted lesions can fill, arms equal."""
    from readerstudy.trials.design.template import vtt_ct_1

    count = Counter((lesion.organ, lesion.arm) for lesion in stock)
    organs = sorted({lesion.organ for lesion in stock})
    even = {o: min(count[o, "real"], count[o, "synthetic"], MOST_PER_STRATUM) for o in organs}
    even = {organ: number for organ, number in even.items() if number}
    practice = PRACTICE_PER_ARM if sum(even.values()) >= 6 else 0
    for _ in range(practice):
        fullest = max(even, key=lambda organ: (even[organ], organ))
        spare = min(count[fullest, "real"], count[fullest, "synthetic"]) - even[fullest]
        if spare <= 0:
            even[fullest] -= 1
    even = {organ: number for organ, number in even.items() if number}
    cases = 2 * sum(even.values())
    if cases < 2:
        raise UserError(
            "The demo needs at least one real and one synthetic lesion in the same organ; add "
            "volumes with organ and tumor masks."
        )
    protocol = vtt_ct_1("Demo: real or synthetic tumor?")
    repeats = 2 if cases >= 12 else 0
    protocol |= {
        "positive_class": "synthetic",
        "practice": {"real": practice, "synthetic": practice},
        "repeats": {"count": repeats, "minimum_gap": max(2, cases // 2)},
        "rendition": {"matrix": matrix, "max_slices": 150},
        "design": {
            "size_bands": [{"name": "any size", "from_mm": 0, "to_mm": 400}],
            "strata": [
                {"organ": organ, "size_band": "any size", "real": number, "synthetic": number}
                for organ, number in even.items()
            ],
        },
    }
    return protocol


def _open(trial: Trial, people: dict[str, User]) -> None:
    from readerstudy.trials.actions import open_trial
    from readerstudy.trials.services import add_member, add_reader, allocate

    actor = people["coordinator"]
    for account in ACCOUNTS:
        if account.role.endswith("reader"):
            add_reader(trial, email=account.email, actor=actor)
    add_member(trial, email=people["researcher"].email, role="researcher", actor=actor)
    allocate(trial, actor=actor)
    open_trial(trial, actor=actor)
