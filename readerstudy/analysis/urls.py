from __future__ import annotations

from django.urls import path

from . import views

app_name = "analysis"
urlpatterns = [
    path("<slug:slug>/", views.results, name="results"),
    path("<slug:slug>/compute/", views.compute, name="compute"),
    path("<slug:slug>/results.json", views.results_json, name="results_json"),
    path("<slug:slug>/figures/<str:name>", views.figure, name="figure"),
    path("<slug:slug>/tables/<slug:name>.csv", views.table, name="table"),
    path("<slug:slug>/cases/", views.cases, name="cases"),
    path("<slug:slug>/exports/", views.export, name="export"),
    path("<slug:slug>/exports/<uuid:bundle_id>/", views.bundle, name="bundle"),
]
