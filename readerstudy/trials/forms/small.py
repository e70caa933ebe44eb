"""The short forms of the trial pages."""

from __future__ import annotations

from typing import Any

from django import forms


class NewTrialForm(forms.Form):
    title = forms.CharField(
        max_length=200,
        widget=forms.TextInput(attrs={"autofocus": True}),
        help_text="Seen by readers. Do not say in it which method or data set is tested.",
    )
    file = forms.FileField(
        label="Protocol file",
        required=False,
        help_text="Optional: a YAML or JSON protocol. Without one the trial starts from the "
        "template VTT-CT-1.",
        widget=forms.ClearableFileInput(attrs={"accept": ".yaml,.yml,.json"}),
    )


class AddReaderForm(forms.Form):
    email = forms.EmailField(
        label="E-mail",
        error_messages={"invalid": "This is not an e-mail address; correct it."},
    )
    display_name = forms.CharField(label="Name", max_length=120, required=False)
    experience_years = forms.IntegerField(
        label="Years of experience", min_value=0, max_value=70, required=False
    )
    specialty = forms.CharField(label="Subspecialty", max_length=80, required=False)


class AddMemberForm(forms.Form):
    email = forms.EmailField(label="E-mail of an account")
    role = forms.ChoiceField(
        choices=[
            ("researcher", "Researcher"),
            ("coordinator", "Coordinator"),
            ("custodian", "Custodian"),
        ]
    )


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Optional; it is kept in the trial's history.",
    )


class UnblindForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Why the truth is opened now. It is kept in the trial's history.",
    )
    confirmation = forms.CharField(
        label="Address of the trial",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    password = forms.CharField(
        label="Your password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        help_text="Asked again, because unblinding cannot be undone.",
    )

    def __init__(self, *args: Any, user: Any, slug: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["confirmation"].help_text = f"Type {slug} to confirm."

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        if not self.user.check_password(password):
            raise forms.ValidationError("This is not your password; type it again.")
        return password
