"""Forms of this room. Their sentences say what is wrong and what to do."""

from __future__ import annotations

import secrets
from typing import Any

from django import forms

from readerstudy.library.models import Volume
from synthesis.engine import shipped

from . import engines, selectors
from .engines import MEASURES, Choice
from .errors import CasesError
from .services.runs import LARGEST_MM, SMALLEST_MM, USUAL_MM

MASS_EFFECTS = [("0", "None"), ("0.5", "Mild"), ("1", "Strong")]
GATES = [
    (MEASURES, "Measurements alone"),
    ("default", "Default: with a segmentor"),
    ("paper", "Paper: recall above 70 %"),
]
REASONS = [
    "Implausible place",
    "Looks artificial",
    "Hard to see",
    "Other lesions in view",
    "Annotation is wrong",
    "Poor image quality",
]


class ForeignForm(forms.Form):
    """A volume that another generator made, and the CT it was made from."""

    generator = forms.CharField(
        label="Generator",
        max_length=40,
        help_text="What made it, such as Diffusion 2; results compare generators by this name.",
        error_messages={"required": "Name the generator that made the volume."},
    )
    organ = forms.CharField(
        label="Organ",
        max_length=40,
        required=False,
        help_text="May stay empty when the original has organ masks in the library.",
    )
    volume = forms.ModelChoiceField(
        queryset=Volume.objects.none(),
        label="Original in the library",
        required=False,
        empty_label="Not there: send the file",
        error_messages={"invalid_choice": "This volume is gone; reload the page."},
    )
    original = forms.FileField(
        label="Original",
        required=False,
        help_text="The CT before: NIfTI, or a DICOM series as zip.",
        error_messages={"empty": "The file of the original is empty."},
    )
    synthetic = forms.FileField(
        label="Synthetic",
        help_text="The same CT with the lesion, on the same grid, in whole HU.",
        error_messages={
            "required": "Choose the file of the synthetic volume.",
            "empty": "The file of the synthetic volume is empty.",
        },
    )
    mask = forms.FileField(
        label="Mask",
        help_text="The inserted lesion: NIfTI, SEG or RTSTRUCT.",
        error_messages={
            "required": "Choose the file of the mask.",
            "empty": "The file of the mask is empty.",
        },
    )
    clean_outside = forms.BooleanField(
        label="Remove change outside the mask",
        required=False,
        help_text="Keeps only the change in the mask and a soft edge of 2 mm around it.",
    )
    original_synthetic = forms.BooleanField(
        label="The original is no scan either",
        required=False,
        help_text="A generator made all of it: none of its lesions counts as a real one.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        volumes: Any = self.fields["volume"]
        volumes.queryset = Volume.objects.order_by("name")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        sent, chosen = cleaned.get("original"), cleaned.get("volume")
        if "original" not in self.errors and not sent and not chosen:
            self.add_error("original", "Choose the original in the library, or send its file.")
        if sent and chosen:
            self.add_error("original", "Either choose the original in the library or send it.")
        return cleaned


class RunForm(forms.Form):
    """What a synthesis run is asked for."""

    volumes = forms.ModelMultipleChoiceField(
        queryset=Volume.objects.none(),
        label="Volumes",
        error_messages={
            "required": "No volume is chosen; tick at least one.",
            "invalid_choice": "One of the chosen volumes is gone; reload the page.",
            "invalid_pk_value": "One of the chosen volumes is gone; reload the page.",
        },
    )
    organs = forms.MultipleChoiceField(
        label="Organs",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "No organ is chosen; tick at least one."},
    )
    per_volume = forms.IntegerField(
        label="Lesions per volume and organ",
        min_value=1,
        max_value=50,
        initial=2,
        help_text="Each lesion becomes a case of its own: a case shows one made lesion.",
        error_messages={
            "min_value": "Ask for at least one lesion per volume.",
            "max_value": "Ask for at most 50 lesions per volume and organ.",
        },
    )
    generator = forms.ChoiceField(
        label="Generator",
        error_messages={
            "required": "No generator is chosen.",
            "invalid_choice": "This generator is not registered any more; choose another one.",
        },
    )
    gate = forms.ChoiceField(
        label="Gate",
        choices=GATES,
        initial=MEASURES,
        required=False,
        help_text="What a lesion must pass: size, contrast and noise as measured; with a "
        "segmentor, to be found by it. What fails is kept, with the reason and scores.",
    )
    segmentor = forms.ChoiceField(
        label="Segmentor of the gate",
        required=False,
        error_messages={
            "invalid_choice": "This segmentor is not registered any more; choose another one."
        },
    )
    diameter_low = forms.FloatField(
        label="Smallest diameter (mm)",
        initial=USUAL_MM[0],
        min_value=SMALLEST_MM,
        max_value=LARGEST_MM,
    )
    diameter_high = forms.FloatField(
        label="Largest diameter (mm)",
        initial=USUAL_MM[1],
        min_value=SMALLEST_MM,
        max_value=LARGEST_MM,
        help_text="Of the sphere of equal volume; as many from 4 to 8 mm as from 40 to 80. Where "
        "the organ has no room for one, it is made smaller.",
    )
    mass_effect = forms.ChoiceField(
        label="Mass effect",
        choices=MASS_EFFECTS,
        initial="0.5",
        help_text="How far vessels at the lesion's surface give way: up to 1.5 mm (mild) or 3 mm.",
    )
    seed = forms.IntegerField(
        label="Seed",
        min_value=0,
        max_value=2**62 - 1,
        help_text="The same seed, volumes and settings give the same lesions, byte for byte.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hosts = selectors.hosts()
        volumes: Any = self.fields["volumes"]
        volumes.queryset = Volume.objects.filter(pk__in=[host.volume.pk for host in self.hosts])
        organs: Any = self.fields["organs"]
        labels = sorted({label for host in self.hosts for label in host.organs})
        organs.choices = [(label, label.capitalize()) for label in labels]
        self._offer_engines()
        if not self.is_bound:
            self.initial.setdefault("seed", secrets.randbelow(10**9))

    def _offer_engines(self) -> None:
        """Generators and segmentors as the registry has them now."""
        self.generators, self.segmentors = engines.generators(), engines.segmentors()
        learned = [
            (f"{engines.learned()}:{w.name}", f"{w.name} ({', '.join(w.organs)})")
            for w in self.generators
        ]
        generator: Any = self.fields["generator"]
        generator.choices = [
            ("textural", "Textural: procedural, needs no weights"),
            *([("Learned, by its weights", learned)] if learned else []),
        ]
        generator.help_text = (
            "The weights that ship are small, a demonstration; import_checkpoint on the server "
            "adds others."
        )
        segmentor: Any = self.fields["segmentor"]
        segmentor.initial = shipped.SEGMENTOR
        segmentor.choices = [(w.name, f"{w.name} ({', '.join(w.organs)})") for w in self.segmentors]

    def choice(self) -> Choice:
        """What was chosen, after validation."""
        asked = self.cleaned_data
        generator, _, checkpoint = asked["generator"].partition(":")
        policy = asked["gate"] or MEASURES
        segmentor = asked["segmentor"] if policy != MEASURES else ""
        return Choice(generator, checkpoint, policy, segmentor)

    def chosen_volumes(self) -> set[str]:
        """Ids ticked in what was sent, or all of them at first when there are few."""
        if self.is_bound:
            return set(self.data.getlist("volumes"))  # type: ignore[union-attr]
        return {str(host.volume.pk) for host in self.hosts} if len(self.hosts) <= 8 else set()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        low, high = cleaned.get("diameter_low"), cleaned.get("diameter_high")
        if low is not None and high is not None and low > high:
            self.add_error(
                "diameter_high",
                f"The diameter range is reversed: {low:g} mm is more than {high:g} mm; "
                "put the smaller number first.",
            )
        self._check_engines(cleaned)
        chosen = {volume.pk for volume in cleaned.get("volumes") or []}
        for organ in cleaned.get("organs") or []:
            if chosen and not any(
                organ in host.organs for host in self.hosts if host.volume.pk in chosen
            ):
                self.add_error(
                    "organs",
                    f"None of the chosen volumes has a mask of the {organ}; import one or choose "
                    "another organ.",
                )
        return cleaned

    def _check_engines(self, cleaned: dict[str, Any]) -> None:
        """An organ that a network does not know is refused here, at the field of that network."""
        organs = cleaned.get("organs") or []
        if "generator" not in cleaned or "segmentor" not in cleaned:
            return
        choice = self.choice()
        try:
            engines.check_generator(choice, organs)
        except CasesError as error:
            self.add_error("generator", str(error))
        try:
            engines.check_gate(choice, organs)
        except CasesError as error:
            self.add_error("gate" if not choice.segmentor else "segmentor", str(error))
