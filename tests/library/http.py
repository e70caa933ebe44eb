"""Sends files as the upload page does, through the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

API = "/api/library/uploads"


def announce(client: Any, files: dict[str, Path], volume: Any = None) -> Any:
    body = {
        "files": [{"name": name, "size": path.stat().st_size} for name, path in files.items()],
        "volume": str(volume) if volume else None,
    }
    return client.post(API, json.dumps(body), content_type="application/json")


def put(client: Any, upload: str, file: int, offset: int, data: bytes) -> Any:
    return client.put(
        f"{API}/{upload}/files/{file}?offset={offset}",
        data,
        content_type="application/octet-stream",
    )


def send(client: Any, files: dict[str, Path], volume: Any = None) -> Any:
    """All chunks of all files, then `finish`; the first refusal, or the last response."""
    begun = announce(client, files, volume)
    if begun.status_code != 200:
        return begun
    upload = begun.json()
    for file in upload["files"]:
        data = files[file["name"]].read_bytes()
        for offset in range(0, len(data), upload["chunk_bytes"]):
            chunk = data[offset : offset + upload["chunk_bytes"]]
            response = put(client, upload["id"], file["id"], offset, chunk)
            if response.status_code != 200:
                return response
    return client.post(f"{API}/{upload['id']}/finish")


def folder_files(folder: Path) -> dict[str, Path]:
    return {
        str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()
    }


def import_now(client: Any, run_jobs: Any, files: dict[str, Path], **answers: str) -> Any:
    """Send, look, answer the review, import; the upload as it stands then."""
    from readerstudy.library.models import Upload

    response = send(client, files)
    assert response.status_code == 200, response.content
    run_jobs()
    upload = Upload.objects.get()
    if upload.state == Upload.State.REVIEW:
        response = client.post(f"/library/upload/{upload.pk}/import/", answers)
        assert response.status_code == 302, response.content
        run_jobs()
        upload.refresh_from_db()
    return upload
