from __future__ import annotations

from django.urls import path

from . import views

app_name = "jobs"
urlpatterns = [
    path("batches/", views.batch_list, name="batches"),
    path("batches/<uuid:batch_id>/", views.batch, name="batch"),
    path("batches/<uuid:batch_id>/failed.csv", views.batch_failed, name="batch_failed"),
    path("batches/<uuid:batch_id>/cancel/", views.cancel_batch, name="cancel_batch"),
    path("batches/<uuid:batch_id>/retry/", views.retry_batch, name="retry_batch"),
    path("<uuid:job_id>/", views.detail, name="detail"),
    path("<uuid:job_id>/cancel/", views.cancel, name="cancel"),
    path("<uuid:job_id>/retry/", views.retry, name="retry"),
]
