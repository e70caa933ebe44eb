from __future__ import annotations

from django.urls import path

from . import views
from .recognition import views as recognition

app_name = "cases"
RESULT = "recognition/results/<uuid:result_id>/"
urlpatterns = [
    path("", views.index, name="index"),
    path("find-real/", views.find_real, name="find_real"),
    path("import/", views.import_synthetic, name="import_synthetic"),
    path("runs/new/", views.new_run, name="new_run"),
    path("runs/<uuid:run_id>/", views.run, name="run"),
    path("runs/<uuid:run_id>/delete/", views.delete_run, name="delete_run"),
    path("recognition/", recognition.index, name="recognition"),
    path("recognition/new/", recognition.new, name="new_recognition"),
    path("recognition/<uuid:recognition_id>/", recognition.run, name="recognition_run"),
    path(
        "recognition/<uuid:recognition_id>/delete/", recognition.delete, name="delete_recognition"
    ),
    path(RESULT, recognition.result, name="recognition_result"),
    path(f"{RESULT}frames/<int:index>", recognition.frame, name="recognition_frame"),
    path(f"{RESULT}<str:part>", recognition.download, name="recognition_file"),
    path("candidates/", views.candidates, name="candidates"),
    path("candidates/bulk/", views.bulk, name="bulk"),
    path("candidates/next/", views.queue, name="queue"),
    path("candidates/<uuid:candidate_id>/", views.candidate, name="candidate"),
    path("candidates/<uuid:candidate_id>/decide/", views.decide, name="decide"),
    path("candidates/<uuid:candidate_id>/undo/", views.undo, name="undo"),
    path("candidates/<uuid:candidate_id>/block/", views.block, name="block"),
    path("candidates/<uuid:candidate_id>/<str:side>.png", views.preview, name="preview"),
]
