"""What every response passes through: default deny, session limits, headers, error sentences."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from readerstudy.errors import UserError

logger = logging.getLogger(__name__)
GetResponse = Callable[[HttpRequest], HttpResponse]
# WebAssembly codecs run in a module worker, which is governed by the header of its own script.
SCRIPT_CSP = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'"
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


def wants_json(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def sentence(request: HttpRequest, text: str, status: int) -> HttpResponse:
    """One sentence to a person: JSON for the API, a fragment for htmx, else a page."""
    if wants_json(request) or request.headers.get("Accept", "").startswith("application/json"):
        return JsonResponse({"detail": text}, status=status)
    if getattr(request, "htmx", False):
        response = render(request, "components/notice.html", {"text": text, "kind": "error"})
        response.status_code = status
        return response
    return render(request, "error.html", {"text": text, "status": status}, status=status)


class SecurityHeadersMiddleware:
    """Headers that Django does not set, on every response including static files and errors."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.setdefault("Permissions-Policy", PERMISSIONS)
        response.setdefault("X-Content-Type-Options", "nosniff")
        response.setdefault("Referrer-Policy", "same-origin")
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if response.get("Content-Type", "").startswith(
            ("text/javascript", "application/javascript")
        ):
            response["Content-Security-Policy"] = SCRIPT_CSP
        return response


class DefaultDenyMiddleware(LoginRequiredMiddleware):
    """Every view asks for a sign-in unless it is marked `login_not_required`."""

    def process_view(
        self, request: HttpRequest, view_func: Any, view_args: Any, view_kwargs: Any
    ) -> HttpResponse | None:
        # Django asks who the user is before it asks whether that matters.
        if not getattr(view_func, "login_required", True):
            return None
        response: HttpResponse | None = super().process_view(
            request, view_func, view_args, view_kwargs
        )
        return response

    def handle_no_permission(self, request: HttpRequest, view_func: Any) -> HttpResponse:
        if wants_json(request):
            return JsonResponse({"detail": "Sign in to continue."}, status=401)
        response: HttpResponse = super().handle_no_permission(request, view_func)
        if request.headers.get("HX-Request"):
            # htmx follows redirects inside the swapped part; this one is for the whole page.
            whole = HttpResponse(status=401)
            whole["HX-Redirect"] = response["Location"]
            return whole
        return response


class SessionAgeMiddleware:
    """Ends a session that was idle too long, and any session at its absolute age."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        # Views open to everyone do not load the session: it costs two queries, and `Vary: Cookie`.
        if getattr(view, "login_required", True) and request.user.is_authenticated:
            now = int(timezone.now().timestamp())
            started = request.session.setdefault("started", now)
            seen = request.session.get("seen", now)
            too_old = now - started > settings.SESSION_COOKIE_AGE
            if too_old or now - seen > settings.SESSION_IDLE_SECONDS:
                logout(request)
            elif now - seen > 60 or "seen" not in request.session:
                # Written once a minute: a session row per request would cost a write each.
                request.session["seen"] = now


class SecondFactorMiddleware:
    """Sends coordinators without a second factor to set one up, where the site requires it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        if not settings.REQUIRE_SECOND_FACTOR or not getattr(view, "login_required", True):
            return None
        if not request.user.is_authenticated:
            return None
        from allauth.mfa.utils import is_mfa_enabled

        from readerstudy.accounts.access import is_coordinator

        names = set(request.resolver_match.app_names) if request.resolver_match else set()
        name = request.resolver_match.url_name if request.resolver_match else ""
        exempt = (name or "").startswith(("mfa_", "account_"))
        if exempt or names & {"accounts"} or not is_coordinator(request.user):
            return None
        if request.session.get("second_factor") or is_mfa_enabled(request.user):
            request.session.setdefault("second_factor", True)
            return None
        if wants_json(request):
            return JsonResponse({"detail": "Set up a second factor first."}, status=403)
        return redirect("mfa_activate_totp")


class UserErrorMiddleware:
    """Turns a `UserError` into its sentence, and a busy database into 503 with Retry-After."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, UserError):
            return sentence(request, str(error), error.status)
        if isinstance(error, OperationalError) and "lock" in str(error).lower():
            logger.warning("database busy", extra={"path": request.path})
            response = sentence(request, "The server is busy; try again in a moment.", 503)
            response["Retry-After"] = "1"
            return response
        return None
