"""Addresses of the reading room; those of its JSON API come from readerstudy.api."""

from __future__ import annotations

from django.urls import path

from . import frames, views

app_name = "reading"
urlpatterns = [
    path("read/<slug:slug>/", views.enter, name="enter"),
    path("read/<slug:slug>/instructions/", views.instructions, name="instructions"),
    path("read/<slug:slug>/consent/", views.consent, name="consent"),
    path("read/<slug:slug>/case/", views.case, name="case"),
    path("read/<slug:slug>/practice-done/", views.practice_done, name="practice_done"),
    path("read/<slug:slug>/break/", views.take_break, name="break"),
    path("read/<slug:slug>/continue/", views.go_on, name="go_on"),
    path("read/<slug:slug>/pause/", views.pause, name="pause"),
    path("read/<slug:slug>/done/", views.done, name="done"),
    path("trials/<slug:slug>/progress/", views.progress, name="progress"),
    path("api/reading/frames/<str:token>/<int:index>", frames.frame, name="frame"),
]
