from __future__ import annotations

from django.urls import path

from . import views

app_name = "library"
VOLUME = "<uuid:volume_id>/"
UPLOAD = "upload/<uuid:upload_id>/"
urlpatterns = [
    path("", views.index, name="index"),
    path("upload/", views.upload_new, name="upload_new"),
    path(UPLOAD, views.upload, name="upload"),
    path(f"{UPLOAD}import/", views.upload_import, name="upload_import"),
    path(f"{UPLOAD}again/", views.upload_again, name="upload_again"),
    path(f"{UPLOAD}discard/", views.upload_discard, name="upload_discard"),
    path(VOLUME, views.volume, name="volume"),
    path(f"{VOLUME}edit/", views.volume_edit, name="volume_edit"),
    path(f"{VOLUME}organ/", views.make_organ, name="make_organ"),
    path(f"{VOLUME}delete/", views.volume_delete, name="volume_delete"),
    path(f"{VOLUME}preview.png", views.preview, name="preview"),
    path(f"{VOLUME}slice/<str:plane>/<int:index>.png", views.plane, name="plane"),
    path("masks/<uuid:mask_id>/delete/", views.mask_delete, name="mask_delete"),
]
