"""Addresses of results and of planning."""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "analysis"
urlpatterns = [
    path("planning/", views.planning, name="planning"),
    path("results/<slug:slug>/", views.results, name="results"),
    path("results/<slug:slug>/compute/", views.compute, name="compute"),
    path("results/<slug:slug>/machines/", views.machines, name="machines"),
    path("results/<slug:slug>/results.json", views.results_json, name="results_json"),
    path("results/<slug:slug>/report.<slug:form>", views.report, name="report"),
    path("results/<slug:slug>/figures/<str:name>", views.figure, name="figure"),
    path("results/<slug:slug>/tables/<slug:name>.csv", views.table, name="table"),
    path("results/<slug:slug>/cases/", views.cases, name="cases"),
    path("results/<slug:slug>/cases/<int:number>/", views.review, name="review"),
    path(
        "results/<slug:slug>/cases/<int:number>/frames/<int:index>",
        views.review_frame,
        name="review_frame",
    ),
    path("results/<slug:slug>/exports/", views.export, name="export"),
    path("results/<slug:slug>/exports/<uuid:bundle_id>/", views.bundle, name="bundle"),
]
