"""What a trial needs before it opens, and what to know before it closes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from readerstudy.cases.models import Rendition
from readerstudy.trials.design.errors import ProtocolError
from readerstudy.trials.design.protocol import Protocol
from readerstudy.trials.models import Membership, Trial

from .cases import design_cases
from .members import active_readers, incomplete_readers
from .orders import allocation_basis
from .trials import protocol_of


@dataclass(frozen=True)
class Check:
    """One condition: whether it holds, and what to do when it does not.

    `page` names the page of the trial where it is done (a URL name of this room).
    """

    title: str
    ok: bool
    detail: str
    page: str


def opening_checks(trial: Trial) -> list[Check]:
    """Conditions for opening, in the order in which they are met."""
    protocol: Protocol | None = None
    if trial.active_protocol is None:
        first = Check("Protocol", False, "There is none yet: write and save it.", "protocol")
    else:
        try:
            protocol = protocol_of(trial.active_protocol)
        except ProtocolError as error:
            first = Check("Protocol", False, str(error), "protocol")
        else:
            first = Check(
                "Protocol",
                True,
                f"Version {trial.active_protocol.number}, {protocol.design.cases} main cases, "
                f"{protocol.positive_class} is the positive class.",
                "protocol",
            )
    readers = list(active_readers(trial))
    return [
        first,
        _cases(trial, protocol),
        _renditions(trial, protocol),
        _readers(trial, [reader.user_id for reader in readers]),
        _orders(trial, protocol, [reader.code for reader in readers if not reader.positions]),
    ]


def _cases(trial: Trial, protocol: Protocol | None) -> Check:
    title = "Cases"
    if protocol is None:
        return Check(title, False, "The protocol comes first.", "cases")
    cases = design_cases(trial)
    if not cases:
        drawn = trial.selections.exclude(phase="").count()
        todo = (
            f"{drawn} are drawn but not prepared: prepare them."
            if drawn
            else "None are chosen: draw them from the accepted candidates."
        )
        return Check(title, False, todo, "cases")
    have = Counter((case.arm, case.organ, case.band) for case in cases if case.phase == "main")
    need = Counter(
        {
            (arm, row.organ, row.size_band): row.needed(arm)
            for row in protocol.design.strata
            for arm in ("real", "synthetic")
        }
    )
    practice = Counter(case.arm for case in cases if case.phase == "practice")
    wanted = Counter(real=protocol.practice.real, synthetic=protocol.practice.synthetic)
    # Compared as wholes, without saying where they differ: only a draft may know that.
    if +have != +need or +practice != +wanted:
        return Check(
            title,
            False,
            "The prepared cases are not those the protocol asks for: draw and prepare them again.",
            "cases",
        )
    main = sum(have.values())
    return Check(
        title, True, f"{main} main and {len(cases) - main} practice cases prepared.", "cases"
    )


def _renditions(trial: Trial, protocol: Protocol | None) -> Check:
    title = "Images"
    if protocol is None or not trial.cases.exists():
        return Check(title, False, "They are made when the cases are prepared.", "cases")
    renditions = list(Rendition.objects.filter(pk__in=trial.cases.values("rendition")))
    sizes = {item.bucket_bytes for item in renditions}
    if len(sizes) > 1:
        return Check(
            title,
            False,
            f"The frames come in {len(sizes)} sizes, which could tell cases apart: prepare the "
            "cases again, all together.",
            "cases",
        )
    from readerstudy.trials.preparation import rule_matches

    if not all(rule_matches(item.rule, protocol) for item in renditions):
        return Check(
            title,
            False,
            "The protocol's rule for images, marker or start slice has changed since they were "
            "made: prepare the cases again.",
            "cases",
        )
    size = sizes.pop() if sizes else 0
    frames = sum(item.frames for item in renditions)
    return Check(
        title, True, f"{frames} frames of one size ({size / 1000:.0f} KB), one rule.", "cases"
    )


def _readers(trial: Trial, users: list[int]) -> Check:
    title = "Readers"
    if not users:
        return Check(title, False, "There is none yet: add at least one.", "readers")
    staff = trial.memberships.filter(user__in=users, valid_to__isnull=True).exclude(
        role=Membership.Role.READER
    )
    if staff.exists():
        code = trial.memberships.filter(
            role=Membership.Role.READER,
            user=staff.first().user_id,  # type: ignore[union-attr]
        ).values_list("code", flat=True)[0]
        return Check(
            title,
            False,
            f"Reader {code} also has a part in running the trial: remove one of the two.",
            "readers",
        )
    return Check(
        title, True, f"{len(users)} {'reader' if len(users) == 1 else 'readers'}.", "readers"
    )


def _orders(trial: Trial, protocol: Protocol | None, without: list[str]) -> Check:
    title = "Orders"
    if not trial.allocation_basis:
        return Check(title, False, "The readers have no order of cases yet: make it.", "allocation")
    if protocol is None or trial.allocation_basis != allocation_basis(trial, protocol):
        return Check(
            title,
            False,
            "Cases or protocol have changed since the orders were made: make them again.",
            "allocation",
        )
    if without:
        return Check(
            title,
            False,
            f"{', '.join(without)} {'has' if len(without) == 1 else 'have'} no order yet: make it.",
            "allocation",
        )
    return Check(title, True, f"Stored; digest {trial.allocation_sha256[:12]}…", "allocation")


def closing_warnings(trial: Trial) -> list[str]:
    """What the coordinator should know before closing; nothing here forbids it."""
    unfinished = incomplete_readers(trial)
    if not unfinished:
        return []
    listed = ", ".join(f"{row.code} ({row.left} of {row.total} left)" for row in unfinished[:12])
    more = f" and {len(unfinished) - 12} more" if len(unfinished) > 12 else ""
    verb = "reader has" if len(unfinished) == 1 else "readers have"
    return [
        f"{len(unfinished)} {verb} not finished: {listed}{more}. After closing, no further answer "
        "is taken."
    ]
