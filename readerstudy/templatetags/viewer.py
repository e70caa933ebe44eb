"""Links of the built viewer, from the manifest that Vite wrote beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Entry:
    """A page's script, the scripts it imports, its style sheets, and what it loads in turn."""

    script: str
    imports: list[str]
    styles: list[str]
    later: list[str]


def _entry(name: str = "main") -> Entry:
    """Readers get `main`; `review` shows what a case is and is no part of what they fetch."""
    path = settings.BASE_DIR / "static" / "viewer" / "dist" / "manifest.json"
    if not path.exists():
        raise FileNotFoundError(MISSING)
    manifest = _manifest(str(path), path.stat().st_mtime)
    entry = manifest[f"src/{name}.js"]
    needed = [manifest[part] for part in entry.get("imports", [])]
    styles = [sheet for part in [*needed, entry] for sheet in part.get("css", [])]
    parts = [manifest[part] for part in entry.get("dynamicImports", [])]
    parts += [manifest[one] for part in parts for one in part.get("imports", [])]
    found = [file for part in parts for file in [part["file"], *part.get("assets", [])]]
    imports = [part["file"] for part in needed]
    later = [file for file in found if file.endswith(".js") and file not in imports]
    return Entry(entry["file"], imports, styles, list(dict.fromkeys(later)))


def _url(name: str) -> str:
    return static(f"viewer/{name}")


@register.simple_tag
def viewer_assets(name: str = "main") -> SafeString:
    """Style sheets and the module script of the viewer, or of another page built with it."""
    entry = _entry(name)
    sheets, modules = [(_url(s),) for s in entry.styles], [(_url(s),) for s in entry.imports]
    return (
        format_html_join("", '<link rel="stylesheet" href="{}">', sheets)
        + format_html_join("", '<link rel="modulepreload" href="{}">', modules)
        + format_html('<script type="module" src="{}"></script>', _url(entry.script))
    )


@register.simple_tag
def viewer_preload() -> SafeString:
    """Fetches and parses the viewer while the reader still reads the instructions."""
    entry = _entry()
    modules = [(_url(name),) for name in [entry.script, *entry.imports, *entry.later]]
    return format_html_join("", '<link rel="modulepreload" href="{}">', modules) + format_html_join(
        "", '<link rel="preload" as="style" href="{}">', [(_url(s),) for s in entry.styles]
    )
