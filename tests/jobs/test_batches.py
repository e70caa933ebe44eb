"""Batches: a job for each of many items, seen, cancelled and tried again together."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from readerstudy.errors import Conflict, UserError
from readerstudy.jobs import registry
from readerstudy.jobs.batches import Item, cancel_batch, retry_batch, short, submit
from readerstudy.jobs.models import Job, JobBatch
from readerstudy.jobs.selectors import failed_jobs, progress_of_batch
from readerstudy.jobs.services import due, enqueue

pytestmark = pytest.mark.django_db
seen: list[tuple[str, str]] = []
broken: set[str] = {"b"}


@registry.job("test.item", title="Item", queue="gpu")
def work(ctx, common, name):
    if name in broken:
        raise UserError(f"The file {name} is cut off.")
    seen.append((common, name))


@pytest.fixture(autouse=True)
def fresh():
    seen.clear()
    broken.clear()
    broken.add("b")


def make(names="abc", place="/out", **options):
    items = (Item(name, {"name": name}) for name in names)
    return submit(
        "test.item", items, title="Three files", params={"common": "x"}, place=place, **options
    )


def said(*arguments):
    out = io.StringIO()
    call_command("batch", *arguments, stdout=out)
    return out.getvalue()


def test_every_item_is_a_job_and_a_failed_one_stops_no_other(coordinator, run_jobs):
    batch = make(found=2, actor=coordinator)
    before = progress_of_batch(batch)
    assert (before.total, before.done, before.waiting) == (5, 2, 3)
    assert before.words == "Waiting for a worker"
    run_jobs()
    assert seen == [("x", "a"), ("x", "c")]
    after = progress_of_batch(batch)
    assert (after.done, after.failed, after.percent, after.words) == (
        4, 1, 100, "Done, with failures",
    )  # fmt: skip
    assert [(job.subject, job.error) for job in failed_jobs(batch)] == [
        ("b", "The file b is cut off.")
    ]
    broken.clear()
    assert retry_batch(batch, coordinator) == 1
    run_jobs()
    assert seen[2:] == [("x", "b")]
    assert progress_of_batch(batch).words == "Done"
    with pytest.raises(Conflict):
        retry_batch(batch, coordinator)


def test_the_queue_is_the_kinds_unless_another_is_asked_for():
    make()
    make(place="/other", queue="cpu")
    assert [job.queue for job in due(["gpu"], 10)] == ["gpu"] * 3
    assert [job.queue for job in due(["cpu"], 10)] == ["cpu"] * 3
    with pytest.raises(UserError, match="no queue 'tpu'"):
        make(place="/third", queue="tpu")


def test_a_page_that_somebody_waits_for_goes_before_a_thousand_files(coordinator):
    make()
    wanted = enqueue("test.item", {"common": "x", "name": "a"}, actor=coordinator)
    assert [job.pk for job in due(["gpu"], 1)] == [wanted.pk]


def test_two_batches_never_work_on_one_place(run_jobs):
    batch = make()
    with pytest.raises(Conflict, match=f"{short(batch)} is at work on /out"):
        make()
    assert JobBatch.objects.count() == 1
    run_jobs()
    make()


def test_cancelled_means_no_further_job_is_begun(coordinator, run_jobs):
    batch = make()
    (job,) = due(["gpu"], 1)
    Job.objects.filter(pk=job.pk).update(state="running")
    assert cancel_batch(batch, coordinator) == 3
    progress = progress_of_batch(batch)
    assert (progress.cancelled, progress.running, progress.words) == (2, 1, "Stopping")
    Job.objects.filter(pk=job.pk).update(state="cancelled")
    assert run_jobs() == []
    assert progress_of_batch(batch).words == "Cancelled"
    with pytest.raises(Conflict):
        cancel_batch(batch, coordinator)


def test_throughput_is_that_of_the_last_minutes_and_says_the_time_left():
    batch = make("abcdefgh")
    now = timezone.now()
    for minutes, name in enumerate("abcd"):
        Job.objects.filter(batch=batch, subject=name).update(
            state="done",
            started_at=now - timedelta(minutes=3 + minutes),
            finished_at=now - timedelta(minutes=2),
        )
    Job.objects.filter(batch=batch, subject="e").update(
        state="done",
        started_at=now - timedelta(hours=5),
        finished_at=now - timedelta(hours=4),
    )
    progress = progress_of_batch(batch)
    assert progress.per_minute == pytest.approx(0.4, rel=0.01)  # 4 in ten minutes
    assert progress.eta.total_seconds() == pytest.approx(3 / 0.4 * 60, rel=0.01)


def test_the_command_lists_shows_cancels_and_tries_again(run_jobs):
    assert "There are no batches" in said()
    batch = make()
    assert "Three files [gpu]: Waiting for a worker; 0 of 3 done" in said()
    run_jobs()
    status = said("status", short(batch), "--follow")
    assert "Done, with failures; 2 of 3 done, 1 failed" in status
    assert "  b: The file b is cut off." in status
    assert said("failed") == "name,reason\nb,The file b is cut off.\n"
    assert "1 jobs wait" in said("retry")
    assert "1 jobs cancelled" in said("cancel")
    with pytest.raises(CommandError, match="no batch 'ffff'") as error:
        said("status", "ffff")
    assert error.value.returncode == 2


def test_the_page_follows_cancels_and_tries_again(coordinator, reader, client_for, run_jobs):
    batch = make()
    client, address = client_for(coordinator), reverse("jobs:batch", args=[batch.pk])
    assert client_for(reader).get(address).status_code == 403
    assert b"Three files" in client.get(reverse("jobs:batches")).content
    panel = client.get(address, headers={"HX-Request": "true"})
    assert b"every 2s" in panel.content
    run_jobs()
    ended = client.get(address, headers={"HX-Request": "true"})
    assert b"every 2s" not in ended.content
    assert ended["HX-Trigger"] == "job-ended"
    page = client.get(address).content.decode()
    assert "The file b is cut off." in page
    client.post(reverse("jobs:retry_batch", args=[batch.pk]))
    assert Job.objects.get(subject="b").state == "queued"
    client.post(reverse("jobs:cancel_batch", args=[batch.pk]))
    assert Job.objects.get(subject="b").state == "cancelled"
    table = client.get(reverse("jobs:batch_failed", args=[batch.pk]))
    assert table.content == b"name,reason\n"


def test_the_page_says_how_to_begin_where_there_is_none(coordinator, client_for):
    page = client_for(coordinator).get(reverse("jobs:batches")).content.decode()
    assert "No batches yet" in page
    assert "--queue" in page
