"""A persona may say how long its answers are spoken at most."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("live", "0006_documents")]

    operations = [
        migrations.AddField(
            model_name="persona",
            name="max_answer_seconds",
            field=models.PositiveSmallIntegerField(
                blank=True,
                help_text="An answer that is spoken for longer ends at the next sentence",
                null=True,
            ),
        ),
    ]
