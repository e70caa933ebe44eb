"""Triggers: the database itself refuses to change or delete an event."""

from __future__ import annotations

from typing import Any

from django.db import migrations

SQLITE = """CREATE TRIGGER audit_no_{verb} BEFORE {VERB} ON audit_auditevent
BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END"""
POSTGRES_FUNCTION = """
CREATE FUNCTION audit_append_only() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION 'audit events are append-only'; END $$ LANGUAGE plpgsql
"""
POSTGRES = """CREATE TRIGGER audit_no_{verb} BEFORE {VERB} ON audit_auditevent
FOR EACH ROW EXECUTE FUNCTION audit_append_only()"""


def create(apps: Any, editor: Any) -> None:
    vendor = editor.connection.vendor
    if vendor == "postgresql":
        editor.execute(POSTGRES_FUNCTION)
    template = POSTGRES if vendor == "postgresql" else SQLITE
    for verb in ("update", "delete"):
        editor.execute(template.format(verb=verb, VERB=verb.upper()))


def drop(apps: Any, editor: Any) -> None:
    on = " ON audit_auditevent" if editor.connection.vendor == "postgresql" else ""
    for verb in ("update", "delete"):
        editor.execute(f"DROP TRIGGER audit_no_{verb}{on}")
    if editor.connection.vendor == "postgresql":
        editor.execute("DROP FUNCTION audit_append_only")


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [migrations.RunPython(create, drop)]
