from __future__ import annotations

from django.urls import path, re_path

from .views import cases, members, orders, protocol, trials

app_name = "trials"
urlpatterns = [
    path("", trials.index, name="index"),
    path("new/", trials.new, name="new"),
    path("template.yaml", protocol.template_file, name="template"),
    path("<slug:slug>/", trials.detail, name="detail"),
    path("<slug:slug>/history/", trials.history, name="history"),
    path("<slug:slug>/step/<slug:step>/", trials.transition, name="transition"),
    path("<slug:slug>/protocol/", protocol.protocol, name="protocol"),
    path("<slug:slug>/protocol/upload/", protocol.upload, name="protocol_upload"),
    path("<slug:slug>/protocol/<int:number>.yaml", protocol.download, name="protocol_file"),
    path("<slug:slug>/cases/", cases.cases, name="cases"),
    path("<slug:slug>/cases/draw/", cases.draw, name="draw"),
    path("<slug:slug>/cases/prepare/", cases.prepare, name="prepare"),
    re_path(
        r"^(?P<slug>[-\w]+)/cases/(?P<candidate_id>[0-9a-f-]{36})/(?P<what>include|exclude|clear)/$",
        cases.mark,
        name="mark",
    ),
    path("<slug:slug>/readers/", members.readers, name="readers"),
    path("<slug:slug>/members/", members.add_member, name="add_member"),
    path("<slug:slug>/members/<slug:code>/remove/", members.remove, name="remove_member"),
    path("<slug:slug>/members/<slug:code>/restore/", members.restore, name="restore_reader"),
    path("<slug:slug>/members/<slug:code>/invite/", members.renew, name="renew_invitation"),
    path("<slug:slug>/allocation/", orders.allocation, name="allocation"),
    path("<slug:slug>/allocation.csv", orders.allocation_file, name="allocation_file"),
    path("<slug:slug>/truth.json", orders.truth_file, name="truth_file"),
]
