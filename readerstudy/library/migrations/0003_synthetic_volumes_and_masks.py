"""Volumes and masks remember that a generator made them."""

from django.db import migrations, models

WARNING = "The files say that their data is synthetic: never take it for a real case."
BY_DICOM = "Synthetic Data (0008,001C) is YES in its DICOM files"


def mark_what_was_warned_of(apps, schema_editor):
    """Until now a warning was all that was kept of (0008,001C)."""
    volumes = apps.get_model("library", "Volume").objects
    made = [row.pk for row in volumes.only("pk", "warnings") if WARNING in row.warnings]
    volumes.filter(pk__in=made).update(synthetic=BY_DICOM)


class Migration(migrations.Migration):
    dependencies = [("library", "0002_upload_review")]

    operations = [
        migrations.AddField(
            model_name="mask",
            name="synthetic",
            field=models.BooleanField(
                default=False, help_text="Marks what a generator inserted, by what its file says."
            ),
        ),
        migrations.AddField(
            model_name="volume",
            name="synthetic",
            field=models.CharField(
                blank=True,
                help_text="Where it is said that a generator made this volume; empty for a scan.",
                max_length=200,
            ),
        ),
        migrations.RunPython(mark_what_was_warned_of, migrations.RunPython.noop),
    ]
