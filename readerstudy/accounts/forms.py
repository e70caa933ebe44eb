from __future__ import annotations

from typing import Any

from django import forms

from .models import User


class AcceptInvitationForm(forms.Form):
    password1 = forms.CharField(
        label="Choose a password",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "autofocus": True}),
        help_text="At least 10 characters; a sentence is easier to remember than a puzzle.",
    )
    password2 = forms.CharField(
        label="The same again",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("password1") != data.get("password2"):
            raise forms.ValidationError("The two passwords differ; type the same one twice.")
        return data


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ["display_name", "experience_years", "specialty"]
        labels = {
            "display_name": "Name",
            "experience_years": "Years of experience in radiology",
            "specialty": "Subspecialty",
        }
        help_texts = {
            "display_name": "Seen by the coordinators of your trials, never in results.",
            "experience_years": "Used to describe the readers of a trial as a group.",
        }
