"""Links of the built viewer, from the manifest that Vite wrote beside it."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()
MISSING = "static/viewer/dist/manifest.json is missing: build the viewer (npm run build)."


@lru_cache(maxsize=4)
def _manifest(path: str, changed: float) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        content: dict[str, Any] = json.load(file)
    return content


def _entry() -> tuple[str, list[str], list[str]]:
    """Script of the entry, its style sheets, and the scripts that it loads in turn."""
    path = settings.BASE_DIR / "static" / "viewer" / "dist" / "manifest.json"
    if not path.exists():
        raise FileNotFoundError(MISSING)
    manifest = _manifest(str(path), path.stat().st_mtime)
    entry = next(item for item in manifest.values() if item.get("isEntry"))
    parts = [manifest[name] for name in entry.get("imports", []) + entry.get("dynamicImports", [])]
    later = [name for part in parts for name in [part["file"], *part.get("assets", [])]]
    return entry["file"], entry.get("css", []), [name for name in later if name.endswith(".js")]


def _url(name: str) -> str:
    return static(f"viewer/{name}")


@register.simple_tag
def viewer_assets() -> SafeString:
    """Style sheets and the module script of the viewer."""
    script, styles, _ = _entry()
    links = format_html_join("", '<link rel="stylesheet" href="{}">', [(_url(s),) for s in styles])
    return links + format_html('<script type="module" src="{}"></script>', _url(script))


@register.simple_tag
def viewer_preload() -> SafeString:
    """Fetches and parses the viewer while the reader still reads the instructions."""
    script, styles, later = _entry()
    modules = [(_url(name),) for name in [script, *later]]
    return format_html_join("", '<link rel="modulepreload" href="{}">', modules) + format_html_join(
        "", '<link rel="preload" as="style" href="{}">', [(_url(s),) for s in styles]
    )
