from __future__ import annotations

from allauth.account.utils import perform_login
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from readerstudy.errors import UserError

from . import services
from .forms import AcceptInvitationForm, ProfileForm


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """A new user chooses a password through their one-time link."""
    opened = services.open_invitation(token)
    if opened is None:
        raise Http404
    form = AcceptInvitationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = services.accept_invitation(token, form.cleaned_data["password1"])
        except UserError as error:
            form.add_error("password1", str(error))
        else:
            # Allauth's own way in: listed, logged, and an account with a second factor is asked.
            response: HttpResponse = perform_login(request, user, redirect_url=reverse("home"))
            return response
    context = {"form": form, "email": opened.user.email}
    return render(request, "accounts/invitation.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    form = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        services.update_profile(
            request.user,
            display_name=data["display_name"],
            experience_years=data["experience_years"],
            specialty=data["specialty"],
        )
        messages.success(request, "Your profile is saved.")
        return redirect("accounts:profile")
    return render(request, "accounts/profile.html", {"form": form})
