"""Static files of production: hashed and compressed once, but for the viewer's own hashes."""

from __future__ import annotations

from typing import Any

from whitenoise.storage import CompressedManifestStaticFilesStorage


class ViewerAwareStaticStorage(CompressedManifestStaticFilesStorage):
    """The viewer's bundle refers to its own hashed names; hashing it twice would load it twice."""

    prefix = "viewer/"

    def post_process(self, paths: dict[str, Any], dry_run: bool = False, **options: Any) -> Any:
        mine = {name: value for name, value in paths.items() if name.startswith(self.prefix)}
        others = {name: value for name, value in paths.items() if name not in mine}
        yield from super().post_process(others, dry_run, **options)
        if not dry_run:
            for name, compressed in self.compress_files(mine):
                yield name, compressed, True

    def stored_name(self, name: str) -> str:
        return name if name.startswith(self.prefix) else super().stored_name(name)

    def _url(self, hashed: Any, name: str, force: bool = False, hashed_files: Any = None) -> str:
        plain = (lambda own_name, *_: own_name) if name.startswith(self.prefix) else hashed
        return super()._url(plain, name, force, hashed_files)
