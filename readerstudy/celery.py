"""Celery executes registered jobs. The job row is the queue of record, so the broker may forget.

Acknowledging early is safe for that reason, and it avoids the visibility-timeout duplicates of
Redis and the consumer timeout of RabbitMQ on long tasks.
"""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import worker_ready, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "readerstudy.settings")

app = Celery("readerstudy")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_acks_late=False,
    task_ignore_result=True,
    task_default_queue="cpu",
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"polling_interval": 0.05},
)
app.autodiscover_tasks(["readerstudy.jobs"])


@worker_ready.connect  # type: ignore[untyped-decorator]
def start_dispatcher(sender: object = None, **_: object) -> None:
    from readerstudy.jobs.dispatcher import dispatcher

    dispatcher.start(sender)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def stop_dispatcher(**_: object) -> None:
    from readerstudy.jobs.dispatcher import dispatcher

    dispatcher.stop()
