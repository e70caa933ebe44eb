"""What each column of judgments.csv and machines.csv means: lists that file and codebook share."""

from __future__ import annotations

from dataclasses import dataclass

from . import csvtext

HEADER = ("column", "type", "unit", "values", "description")


@dataclass(frozen=True)
class Column:
    """One column; ``sealed`` ones tell, or could tell, the arm and are absent when blinded."""

    name: str
    type: str
    unit: str
    values: str
    description: str
    sealed: bool = False


COLUMNS = (
    Column("reader_id", "text", "", "R01, R02, ...", "Pseudonym of the reader in this trial."),
    Column("experience_years", "integer", "years", "0 or more; empty = not given",
           "Years of experience as the reader stated them."),
    Column("case_id", "text", "", "C001, C002, ...", "Case of the trial; text, not a number."),
    Column("organ", "text", "", "as in the protocol", "Organ that holds the marked tumor."),
    Column("size_mm", "number", "mm", "above 0",
           "Diameter of the sphere with the tumor's volume.", sealed=True),
    Column("truth", "text", "", "real | synthetic", "What the tumor is.", sealed=True),
    Column("generator", "text", "", "none | name of the generator",
           "What made the tumor; none for a real one.", sealed=True),
    Column("repeat", "integer", "", "1 | 2",
           "1 = first reading of the case by this reader, the analysis set; 2 = the same case "
           "again, for agreement within the reader only."),
    Column("order_index", "integer", "", "1 or more",
           "Place in this reader's order of counted cases, repeats included, practice not."),
    Column("verdict", "text", "", "real | synthetic",
           "Side of the rating: 1 to 3 = real, 4 to 6 = synthetic."),
    Column("confidence", "integer", "", "1 | 2 | 3", "1 = possibly, 2 = probably, 3 = definitely."),
    Column("score", "integer", "", "-3 | -2 | -1 | 1 | 2 | 3",
           "Confidence with a plus sign for synthetic and a minus sign for real."),
    Column("p_synthetic_pct", "number", "%", "0 to 100; empty = not asked",
           "Stated probability that the tumor is synthetic; not asked by the six-point scale."),
    Column("response_time_s", "number", "s", "0 or more; empty = not known",
           "Time from the case being shown to the answer, without time the page was hidden."),
)  # fmt: skip


def columns(level: str) -> tuple[str, ...]:
    """Column names of judgments.csv at an export level ("blinded" or "unblinded")."""
    return tuple(c.name for c in COLUMNS if level == "unblinded" or not c.sealed)


def codebook_csv(level: str) -> bytes:
    """One row for each column of judgments.csv at this level, and no other."""
    names = columns(level)
    return csvtext.table(
        HEADER,
        [(c.name, c.type, c.unit, c.values, c.description) for c in COLUMNS if c.name in names],
    )


#: machines.csv, which comes at the unblinded level alone.
MACHINE_COLUMNS = (
    Column("reader_id", "text", "", "gate | radiomics | forensic | cnn", "Name of the machine.",
           sealed=True),
    Column("title", "text", "", "", "The machine's name for people.", sealed=True),
    Column("case_id", "text", "", "C001, C002, ...", "Case of the trial; text, not a number.",
           sealed=True),
    Column("rating", "integer", "", "1 to 6",
           "1 = definitely real to 6 = definitely synthetic, on the readers' scale.", sealed=True),
    Column("verdict", "text", "", "real | synthetic",
           "Side of the rating: 1 to 3 = real, 4 to 6 = synthetic.", sealed=True),
    Column("confidence", "integer", "", "1 | 2 | 3",
           "1 = possibly, 2 = probably, 3 = definitely.", sealed=True),
    Column("score", "integer", "", "-3 | -2 | -1 | 1 | 2 | 3",
           "Confidence with a plus sign for synthetic and a minus sign for real.", sealed=True),
    Column("raw_score", "number", "", "0 to 1",
           "What the machine gave before it was cut into steps; grows with synthetic.",
           sealed=True),
)  # fmt: skip


def machines_codebook_csv() -> bytes:
    """One row for each column of machines.csv."""
    return csvtext.table(
        HEADER, [(c.name, c.type, c.unit, c.values, c.description) for c in MACHINE_COLUMNS]
    )
