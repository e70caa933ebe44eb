"""What a recognition run is asked for."""

from __future__ import annotations

from typing import Any

from django import forms

from readerstudy.library import selectors as library
from readerstudy.library.models import Volume
from synthesis.engine import shipped

from . import weights


class RecognitionForm(forms.Form):
    volumes = forms.ModelMultipleChoiceField(
        queryset=Volume.objects.none(),
        label="Volumes",
        error_messages={
            "required": "No volume is chosen; tick at least one.",
            "invalid_choice": "One of the chosen volumes is gone; reload the page.",
            "invalid_pk_value": "One of the chosen volumes is gone; reload the page.",
        },
    )
    checkpoint = forms.ChoiceField(
        label="Network",
        help_text="The one that ships is small, a demonstration; import_checkpoint on the server "
        "adds others.",
        error_messages={
            "required": "No network is chosen.",
            "invalid_choice": "This network is not registered any more; choose another one.",
        },
    )
    organ = forms.ChoiceField(
        label="Tumors of",
        required=False,
        error_messages={"invalid_choice": "No network knows this organ; choose another one."},
    )
    inside = forms.BooleanField(
        label="Only inside the organ",
        required=False,
        initial=True,
        help_text="Where a volume has a mask of the organ, findings must lie in it or within "
        "5 mm of it.",
    )
    threshold = forms.FloatField(
        label="Probability from",
        initial=0.5,
        min_value=0.01,
        max_value=0.99,
        help_text="A voxel of at least this probability is tumor.",
        error_messages={
            "min_value": "The probability lies between 0.01 and 0.99.",
            "max_value": "The probability lies between 0.01 and 0.99.",
        },
    )
    smallest_mm = forms.FloatField(
        label="Smallest finding (mm)",
        initial=3,
        min_value=0,
        max_value=100,
        help_text="Diameter of the sphere of equal volume; smaller ones are dropped.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hosts = list(library.volumes().order_by("name"))
        self.networks = weights.choices()
        volumes: Any = self.fields["volumes"]
        volumes.queryset = Volume.objects.order_by("name")
        checkpoint: Any = self.fields["checkpoint"]
        checkpoint.choices = [(w.name, f"{w.name} ({', '.join(w.organs)})") for w in self.networks]
        checkpoint.initial = shipped.SEGMENTOR
        organs = sorted({organ for network in self.networks for organ in network.organs})
        organ: Any = self.fields["organ"]
        organ.choices = [("", "every organ the network knows"), *((o, o) for o in organs)]

    def chosen_volumes(self) -> set[str]:
        """Ids ticked in what was sent, or all of them at first when there are few."""
        if self.is_bound:
            return set(self.data.getlist("volumes"))  # type: ignore[union-attr]
        return {str(host.pk) for host in self.hosts} if len(self.hosts) <= 8 else set()
