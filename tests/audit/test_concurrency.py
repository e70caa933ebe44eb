from __future__ import annotations

import threading

import pytest
from django.db import connection

from readerstudy.audit.selectors import head, verify
from readerstudy.audit.services import record


@pytest.mark.django_db(transaction=True)
def test_L4_parallel_writers_keep_one_chain():
    def write() -> None:
        for _ in range(50):
            record(None, "test.happened", chain="trial:parallel")
        connection.close()

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert head("trial:parallel")[0] == 100
    assert verify("trial:parallel") is None
