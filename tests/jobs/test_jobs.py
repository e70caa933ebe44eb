from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from readerstudy.errors import Conflict, UserError
from readerstudy.jobs import registry
from readerstudy.jobs.models import Job
from readerstudy.jobs.services import Context, cancel, claim, due, enqueue, execute, retry

pytestmark = pytest.mark.django_db
calls: list[int] = []


@registry.job("test.count", title="Counting", max_attempts=2)
def count(ctx, upto, fail_at=None, how="crash"):
    start = ctx.checkpoint.get("n", 0)
    for n in range(start, upto):
        if n == fail_at:
            if how == "sentence":
                raise UserError("The file a.txt is empty; choose another.")
            raise RuntimeError("secret detail")
        calls.append(n)
        ctx.save_checkpoint({"n": n + 1})
        ctx.progress(n + 1, upto)
    return {"counted": upto}


@pytest.fixture(autouse=True)
def fresh_calls():
    calls.clear()


def test_a_job_runs_once_and_keeps_its_result(coordinator, run_jobs):
    job = enqueue("test.count", {"upto": 3}, actor=coordinator)
    (ended,) = run_jobs()
    assert (ended.pk, ended.state, ended.result) == (job.pk, "done", {"counted": 3})
    execute(str(job.pk))
    assert calls == [0, 1, 2]


def test_O1_an_expired_lease_is_taken_over_from_the_checkpoint(coordinator, run_jobs):
    job = enqueue("test.count", {"upto": 5}, actor=coordinator)
    due(["cpu"], 1)
    dead = Context(claim(str(job.pk)))
    dead.save_checkpoint({"n": 3})
    assert due(["cpu"], 1) == []
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    (ended,) = run_jobs()
    assert ended.state == "done" and ended.attempts == 2 and calls == [3, 4]
    with pytest.raises(registry.JobFenced):
        dead.progress(4, 5)


def test_O2_two_workers_never_claim_one_job(coordinator):
    job = enqueue("test.count", {"upto": 1}, actor=coordinator)
    assert claim(str(job.pk)) is not None
    assert claim(str(job.pk)) is None


def test_O3_a_job_that_keeps_crashing_ends_with_a_sentence_without_the_detail(
    coordinator, run_jobs
):
    enqueue("test.count", {"upto": 2, "fail_at": 1}, actor=coordinator)
    run_jobs()
    Job.objects.update(not_before=None)
    (ended,) = run_jobs()
    assert ended.state == "failed" and ended.attempts == 2
    assert "secret" not in ended.error and ended.error.endswith(".")


def test_a_user_error_fails_at_once_with_its_sentence(coordinator, run_jobs):
    enqueue("test.count", {"upto": 2, "fail_at": 0, "how": "sentence"}, actor=coordinator)
    (ended,) = run_jobs()
    assert ended.state == "failed" and ended.attempts == 1
    assert ended.error == "The file a.txt is empty; choose another."


def test_cancel_stops_a_waiting_job_and_retry_runs_it(coordinator, run_jobs):
    job = enqueue("test.count", {"upto": 2}, actor=coordinator)
    cancel(job, coordinator)
    assert run_jobs() == []
    with pytest.raises(Conflict):
        cancel(job, coordinator)
    retry(job, coordinator)
    assert [ended.state for ended in run_jobs()] == ["done"]


def test_cancel_stops_a_running_job_at_its_next_step(coordinator):
    job = enqueue("test.count", {"upto": 2}, actor=coordinator)
    context = Context(claim(str(job.pk)))
    cancel(Job.objects.get(pk=job.pk), coordinator)
    with pytest.raises(registry.JobCancelled):
        context.progress(1, 2)


def test_the_panel_polls_while_it_runs_and_stops_after(coordinator, reader, client_for, run_jobs):
    job = enqueue("test.count", {"upto": 2}, actor=coordinator)
    url = reverse("jobs:detail", args=[job.pk])
    client = client_for(coordinator)
    assert b"every 1s" in client.get(url, headers={"HX-Request": "true"}).content
    assert client_for(reader).get(url).status_code == 404
    run_jobs()
    after = client.get(url, headers={"HX-Request": "true"})
    assert b"every 1s" not in after.content and after["HX-Trigger"] == "job-ended"


def test_an_unknown_kind_is_a_programming_error(coordinator):
    with pytest.raises(LookupError):
        enqueue("test.nothing", {}, actor=coordinator)
