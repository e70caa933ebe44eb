from __future__ import annotations

from typing import Any

from django import forms

from .errors import LibraryError
from .services import patient_code

SOURCE_HELP = "Where the data come from, as the paper will say it. Shown on the volume's page."
SYNTHETIC_HELP = "Lesions in such volumes never become real candidates."


class VolumeForm(forms.Form):
    """What a person may correct about a volume."""

    name = forms.CharField(max_length=200, help_text="Seen by coordinators only. Never a name.")
    patient = forms.CharField(
        max_length=64,
        label="Patient code",
        help_text="Volumes with one code are one patient: readers never see them in a row.",
    )
    source = forms.CharField(max_length=300, required=False, help_text=SOURCE_HELP)
    synthetic = forms.BooleanField(
        required=False, label="Made by a generator", help_text=SYNTHETIC_HELP
    )

    def clean_patient(self) -> str:
        try:
            return patient_code(self.cleaned_data["patient"])
        except LibraryError as error:
            raise forms.ValidationError(str(error)) from None


class ImportForm(forms.Form):
    """What holds for all volumes of one upload."""

    source = forms.CharField(max_length=300, required=False, help_text=SOURCE_HELP)
    patient = forms.CharField(
        max_length=64,
        required=False,
        label="Patient code",
        help_text="Leave empty to have one made: DICOM patients keep theirs over all imports.",
    )
    synthetic = forms.BooleanField(
        required=False, label="Made by a generator", help_text=SYNTHETIC_HELP
    )

    def clean_patient(self) -> str:
        text: str = self.cleaned_data["patient"]
        if not text.strip():
            return ""
        try:
            return patient_code(text)
        except LibraryError as error:
            raise forms.ValidationError(str(error)) from None


def mask_uses(posted: Any, masks: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The answers of the review page: one use for each mask, kind and organ, parts joined."""
    joined: dict[tuple[str, str, str], list[str]] = {}
    for number, mask in enumerate(masks):
        for part in mask["parts"]:
            kind = posted.get(f"kind-{number}-{part['key']}", "")
            if kind not in ("organ", "tumor"):
                continue
            organ = posted.get(f"organ-{number}-{part['key']}", "").strip().lower()
            joined.setdefault((mask["name"], kind, organ), []).append(str(part["key"]))
    return [
        {"mask": mask, "kind": kind, "label": organ, "parts": "+".join(parts)}
        for (mask, kind, organ), parts in joined.items()
    ]
