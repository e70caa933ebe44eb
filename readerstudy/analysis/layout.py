"""Order of the results page: which figures and tables stand in which section, and what is said.

Only what the data allow is shown. Tables that no section names come last, so that none is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .tables import Table

F = TypeVar("F")


@dataclass(frozen=True)
class Place:
    """Where a figure stands: its shape on the page and the note under it."""

    name: str
    shape: str = ""
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """A section as planned. `folded`: (line to open it, names of the tables inside)."""

    key: str
    title: str
    figures: tuple[Place, ...] = ()
    tables: tuple[str, ...] = ()
    folded: tuple[tuple[str, tuple[str, ...]], ...] = ()
    intro: str = ""
    banded: bool = False


@dataclass
class Section(Generic[F]):
    """A section as it stands: figures side by side, then tables."""

    key: str
    title: str
    intro: str
    figures: list[tuple[F, Place]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    folded: list[tuple[str, list[Table]]] = field(default_factory=list)
    banded: bool = False

    @property
    def side_by_side(self) -> str:
        """Class of the row of figures: two of one kind are equally wide."""
        if len(self.figures) < 2:
            return ""
        square = any(place.shape == "square" for _, place in self.figures)
        return "pair" if square else "pair even"


PLANS = (
    Plan(
        "readers", "Readers",
        (
            Place("forest", "", "Squares: one reader with the interval over cases. Diamond: mean "
                  "of readers, readers and cases both taken as samples. Dashed: guessing. Shaded: "
                  "the equivalence range of the protocol. Triangles: machines, where any has read; "
                  "they are in no number about the readers."),
            Place("roc", "square", "A curve above the dashed line separates the arms. Circles: "
                  "the reader's verdicts, without the confidence."),
        ),
        ("readers",),
    ),
    Plan(
        "endpoints", "Endpoints",
        (Place("equivalence", "flat", "Equivalent to guessing only if the thick line lies wholly "
               "within the shaded range."),),
        ("endpoints", "detection"),
        (("The same endpoint by other methods", ("methods", "sensitivity", "components")),),
    ),
    Plan(
        "confusion", "Verdict against truth",
        (
            Place("confusion", "", "Rows: truth. Columns: verdict. Shade: share of the row. The "
                  "small tables have the same order."),
            Place("bias", "square", "Height: how well a reader separates the arms. Left or right: "
                  "towards which answer the reader leans, whatever the tumor."),
        ),
        ("pooled",),
    ),
    Plan(
        "fool", "Synthetic tumors taken for real",
        (Place("fool_rate", "flat", "Compare each dot with its diamond: where they meet, a "
               "synthetic tumor is called real as often as a real one."),),
        ("fool_rate", "subgroups", "heterogeneity"),
        banded=True,
    ),
    Plan("generators", "Generators", (), ("means", "comparison")),
    Plan(
        "course", "Learning, fatigue and time",
        (
            Place("order", "", "A rise says that readers learn while they read, a fall that they "
                  "tire. Each reader has an order of their own."),
            Place("response_time", "", "Active time from the first picture to the answer."),
        ),
        ("trends",),
        (("Course of reading and each reader's times", ("order", "response_time")),),
    ),
    Plan(
        "agreement", "Agreement",
        (Place("agreement", "square", "Readers who guess agree by chance alone: near 0 is what "
               "guessing looks like, whatever their number."),),
        ("agreement",),
        (("Every two readers, and each reader against herself", ("pairwise", "intra_reader")),),
    ),
    Plan(
        "confidence", "Confidence",
        (Place("confidence", "", "Well used: the surer the answer, the more often right."),),
        ("confidence", "calibration"),
    ),
    Plan(
        "cases", "Cases",
        (Place("cases", "flat", "With few readers a single case is mostly luck: the dashes show "
               "how much of its rate is left when the luck is taken out."),),
    ),
    Plan("machines", "Machine readers beside the humans", (),
         ("machines", "machines_versus", "machines_trained")),
    Plan("published", "Beside FreeTumor", (), ("published",)),
    Plan(
        "flow", "What was read, and how precisely",
        (Place("flow", "", "Every reading that was planned, and what became of it."),),
        ("precision",),
        (("Cases, readers and missing readings",
          ("flow", "cases_described", "readers_described", "missing")),),
    ),
)  # fmt: skip
#: Too long for the page; the explorer shows it.
ELSEWHERE = frozenset({"cases"})


def sections(figures: Mapping[str, F], tables: Mapping[str, Table]) -> list[Section[F]]:
    """The sections that have anything in them."""
    found, used = [], set(ELSEWHERE)
    for plan in PLANS:
        section: Section[F] = Section(plan.key, plan.title, plan.intro, banded=plan.banded)
        section.figures = [(figures[p.name], p) for p in plan.figures if p.name in figures]
        section.tables = [tables[name] for name in plan.tables if name in tables]
        for words, names in plan.folded:
            inside = [tables[name] for name in names if name in tables]
            if inside:
                section.folded.append((words, inside))
            used |= set(names)
        used |= set(plan.tables)
        if section.figures or section.tables or section.folded:
            found.append(section)
    rest = [table for name, table in tables.items() if name not in used]
    if rest:
        found.append(Section("more", "More", "", tables=rest))
    return found
