"""Every address of the platform. tests/test_access.py holds one row for each of these names."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.urls import include, path

from readerstudy import views
from readerstudy.api import api

urlpatterns = [
    path("", views.home, name="home"),
    path("healthz", views.healthz, name="healthz"),
    path(
        "favicon.ico", login_not_required(lambda request: HttpResponse(status=204)), name="favicon"
    ),
    # An address is a name here: changing it goes through the person who invites.
    path("accounts/email/", views.closed, name="account_email_closed"),
    path("accounts/", include("allauth.urls")),
    path("people/", include("readerstudy.accounts.urls")),
    path("jobs/", include("readerstudy.jobs.urls")),
    path("library/", include("readerstudy.library.urls")),
    path("cases/", include("readerstudy.cases.urls")),
    path("trials/", include("readerstudy.trials.urls")),
    path("", include("readerstudy.reading.urls")),
    path("", include("readerstudy.analysis.urls")),
    path("api/", api.urls),
]

handler400 = "readerstudy.views.bad_request"
handler403 = "readerstudy.views.forbidden"
handler404 = "readerstudy.views.not_found"
handler500 = "readerstudy.views.server_error"
