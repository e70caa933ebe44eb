"""What every DICOM file made here says about itself: synthetic or AI result, de-identified.

Datasets are built from an allow-list and never copied and stripped: what is not named in this
package cannot get into a file.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

MANUFACTURER = "readerstudy"
MODEL = "synthesis"
RESULT_MODEL = "recognition"
#: A date says when something was done to a patient; files made here carry this one, always.
NO_DATE, NO_TIME = "19000101", "000000"

PIXEL_BY_PIXEL = ("113042", "DCM", "Pixel by pixel addition")
LESION_SYNTHESIS = ("LESION-SYNTHESIS", "99VTT", "Insertion of a synthetic lesion")
SOURCE_FOR_PROCESSING = ("121322", "DCM", "Source image for image processing operation")
SYNTHESIZING = ("109100", "DCM", "Synthesizing Equipment")
PROCESSING = ("109102", "DCM", "Processing Equipment")
BASIC_PROFILE = ("113100", "DCM", "Basic Application Confidentiality Profile")
RETAIN_UIDS = ("113110", "DCM", "Retain UIDs Option")


@dataclass(frozen=True)
class SourceSlice:
    """One plane of the series a synthetic one was made from. Positions are LPS in mm."""

    position: tuple[float, float, float]
    instance_uid: str = ""
    frame: int | None = None


@dataclass(frozen=True)
class NativeSeries:
    """The UIDs of the series that a result belongs to, as its files carry them."""

    study_uid: str
    series_uid: str
    frame_uid: str


@dataclass(frozen=True)
class Marking:
    """What is told about one synthetic volume, or about what a network found in a volume.

    Attributes:
        subject: pseudonymous code written as Patient ID.
        key: everything the new UIDs follow from; the same key gives the same UIDs.
        derivation: sentence for Derivation Description.
        description: goes behind ``SYNTHETIC`` in Series Description.
        body_part: Body Part Examined, such as ``ABDOMEN``; empty when it is not known.
        software: name and version of what made it.
        technical: attributes of the scan that may stay (see `deidentify.KEPT`), by keyword.
        slices: one per plane along z when the input was DICOM, else empty.
        name_sources: whether Source Image Sequence gives the native SOP Instance UIDs. Without,
            it gives made-up ones, the same for all that is made of one CT: a native UID leads
            whoever has access to the archive straight to the patient.
        result: an AI result on a volume, rather than a volume made here.
        synthetic: whether what is shown was made artificially.
        native: UIDs of the series that a result is shown on; made-up ones where None.
    """

    subject: str
    key: str
    derivation: str
    description: str
    software: str
    body_part: str = ""
    technical: dict[str, list[str]] = field(default_factory=dict)
    slices: tuple[SourceSlice, ...] = ()
    name_sources: bool = False
    result: bool = False
    synthetic: bool = True
    native: NativeSeries | None = None

    @property
    def word(self) -> str:
        """What the names and descriptions of the files begin with."""
        return "AI RESULT" if self.result else "SYNTHETIC"

    @property
    def model(self) -> str:
        return RESULT_MODEL if self.result else MODEL

    @property
    def frame_uid(self) -> UID:
        """UID of the frame of reference."""
        return UID(self.native.frame_uid) if self.native else self.uid("frame of reference")

    @property
    def series_uid(self) -> UID:
        """UID of the series of images."""
        return UID(self.native.series_uid) if self.native else self.uid("series")

    def instance_uid(self, index: int) -> UID:
        """UID of the image of plane ``index``; a frame of a larger image has one made up."""
        source = self.slices[index] if index < len(self.slices) else None
        if self.native and source and source.instance_uid and source.frame is None:
            return UID(source.instance_uid)
        return self.uid("instance", index)

    def uid(self, *parts: object) -> UID:
        """A UID under 2.25 that follows from the key and ``parts`` alone."""
        return uid_of(self.key, *parts)


def uid_of(*parts: object) -> UID:
    text = "\0".join(str(part) for part in parts)
    digest = hashlib.sha256(text.encode()).digest()[:16]
    return UID(f"2.25.{uuid.UUID(bytes=digest, version=5).int}")


def coded(code: tuple[str, str, str]) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item


def mark(dataset: Dataset, marking: Marking) -> None:
    """Say in ``dataset`` what it is, that it is de-identified, and by what it was made."""
    dataset.SyntheticData = "YES" if marking.synthetic else "NO"
    dataset.SeriesDescription = f"{marking.word} {marking.description}"[:64]
    dataset.ContributingEquipmentSequence = Sequence([_equipment(marking)])
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Built from an allow-list of attributes; nothing else copied"
    codes = [coded(BASIC_PROFILE)]
    if (marking.name_sources and marking.slices) or marking.native:
        codes.append(coded(RETAIN_UIDS))
    dataset.DeidentificationMethodCodeSequence = Sequence(codes)
    dataset.LongitudinalTemporalInformationModified = "REMOVED"
    dataset.BurnedInAnnotation = "NO"


def patient_and_study(dataset: Dataset, marking: Marking) -> None:
    """The attributes every image must have, empty or made up."""
    dataset.PatientName = f"{marking.word}^{marking.subject}"
    dataset.PatientID = marking.subject
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    native = marking.native
    dataset.StudyInstanceUID = native.study_uid if native else uid_of("study", marking.subject)
    dataset.StudyDate = ""
    dataset.StudyTime = ""
    dataset.StudyID = ""
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""


def source_images(marking: Marking, index: int) -> Sequence:
    """Source Image Sequence of plane ``index``; empty when there is nothing to name."""
    if index >= len(marking.slices) or not marking.slices[index].instance_uid:
        return Sequence()
    source = marking.slices[index]
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item.ReferencedSOPInstanceUID = (
        # Not a hash of the native UID: that would let somebody confirm a guess of it.
        source.instance_uid if marking.name_sources else uid_of("source", marking.subject, index)
    )
    if source.frame is not None:
        item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
        item.ReferencedFrameNumber = source.frame + 1
    item.PurposeOfReferenceCodeSequence = Sequence([coded(SOURCE_FOR_PROCESSING)])
    return Sequence([item])


def _equipment(marking: Marking) -> Dataset:
    item = Dataset()
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = marking.model
    item.SoftwareVersions = marking.software[:64]
    item.ContributionDescription = marking.derivation[:1024]
    item.PurposeOfReferenceCodeSequence = Sequence(
        [coded(PROCESSING if marking.result else SYNTHESIZING)]
    )
    return item
