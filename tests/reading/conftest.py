from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from readerstudy.reading.frames import grants
from tests.live import empty_database, site  # noqa: F401 - fixtures
from tests.reading.world import Desk, World, build


@pytest.fixture(autouse=True)
def fresh_grants():
    """The web process remembers for half a minute who may fetch what; tests start without."""
    grants.clear()


@pytest.fixture
def world(reader: Any, peer_reader: Any, coordinator: Any) -> World:
    """An open trial: two practice and four main cases, equal pixels, alternating truth."""
    return build([reader, peer_reader], coordinator=coordinator)


@pytest.fixture
def desk(world: World, reader: Any, client_for: Callable[..., Any]) -> Desk:
    """The reader, consent given."""
    desk = Desk(client_for(reader))
    desk.consent()
    return desk


@pytest.fixture
def viewer_dist(settings: Any, tmp_path: Any) -> None:
    """A manifest to name, where the viewer has not been built in this checkout."""
    import json

    from readerstudy.templatetags import viewer

    dist = settings.BASE_DIR / "static" / "viewer" / "dist"
    if not (dist / "manifest.json").exists():
        settings.BASE_DIR = tmp_path / "base"
        dist = settings.BASE_DIR / "static" / "viewer" / "dist"
        dist.mkdir(parents=True)
        (dist / "manifest.json").write_text(
            json.dumps(
                {
                    "src/main.js": {
                        "file": "assets/main-12345678.js",
                        "isEntry": True,
                        "css": ["assets/main-1.css"],
                    }
                }
            )
        )
    viewer._manifest.cache_clear()
