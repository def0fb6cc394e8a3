"""A session may be ended by the avatar itself, after it said goodbye."""

from django.db import migrations, models

REASONS = [
    ("client_ended", "Client Ended"),
    ("api_ended", "Api Ended"),
    ("idle_timeout", "Idle Timeout"),
    ("max_duration", "Max Duration"),
    ("connect_timeout", "Connect Timeout"),
    ("queue_timeout", "Queue Timeout"),
    ("disconnected", "Disconnected"),
    ("host_lost", "Host Lost"),
    ("failed", "Failed"),
    ("admin_ended", "Admin Ended"),
    ("erased", "Erased"),
    ("avatar_ended", "Avatar Ended"),
]


class Migration(migrations.Migration):
    dependencies = [("live", "0004_providers")]

    operations = [
        migrations.AlterField(
            model_name="session",
            name="end_reason",
            field=models.CharField(blank=True, choices=REASONS, max_length=20),
        ),
    ]
