"""A persona's documents, and the passages that answers draw on."""

from functools import partial

from django.db import models
from django.db.models import Q

from project.ids import new_id


class Knowledge(models.Model):
    """What a persona's documents come to. Its number marks the persona's words in the search index.

    `version` grows with every change of passages or vectors, so that a process knows whether what it
    keeps in memory is still true.
    """

    persona = models.OneToOneField("live.Persona", on_delete=models.CASCADE, related_name="library")
    version = models.PositiveBigIntegerField(default=0)
    passages = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "knowledge"

    def __str__(self) -> str:
        return f"{self.persona_id}: {self.passages}"


class DocumentKind(models.TextChoices):
    TEXT = "text"
    MARKDOWN = "markdown"
    PDF = "pdf"


class DocumentStatus(models.TextChoices):
    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"


class KnowledgeDocument(models.Model):
    """A file that a persona knows. Preparation is taken under a lease."""

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "doc"), editable=False)
    persona = models.ForeignKey("live.Persona", on_delete=models.CASCADE, related_name="documents")
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=10, choices=DocumentKind.choices)
    bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    key = models.CharField(max_length=200)
    status = models.CharField(max_length=10, choices=DocumentStatus.choices, default=DocumentStatus.PREPARING)
    failure_code = models.CharField(max_length=60, blank=True)
    failure_message = models.CharField(max_length=500, blank=True)
    pages = models.PositiveIntegerField(null=True, help_text="Of a PDF")
    passages = models.PositiveIntegerField(default=0)
    # The model whose vectors all passages have; empty where they are found by their words alone.
    embedding_model = models.CharField(max_length=160, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True)
    # -- who works on it
    lease_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True)
    enqueued_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["persona", "-created_at", "-id"], name="document_newest_first"),
            models.Index(fields=["status", "lease_until"], name="document_work"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["persona", "sha256"], name="document_once"),
            models.CheckConstraint(
                condition=Q(status__in=DocumentStatus.values), name="document_status_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Passage(models.Model):
    """A piece of a document, short enough to be read to a language model.

    Its words are in `live_passage_terms` (see `sessions.knowledge.index`): a full-text table of
    SQLite, kept in step by a trigger, or a table of PostgreSQL with a GIN index. On SQLite a
    migration that alters this table has to make the trigger again.
    """

    document = models.ForeignKey(KnowledgeDocument, on_delete=models.CASCADE, related_name="texts")
    index = models.PositiveIntegerField()
    page = models.PositiveIntegerField(null=True, help_text="Of a PDF, from 1")
    heading = models.CharField(max_length=300, blank=True)
    text = models.TextField()
    # Length 1, float16, little-endian; of the document's embedding_model.
    vector = models.BinaryField(null=True)

    class Meta:
        ordering = ["document", "index"]
        constraints = [models.UniqueConstraint(fields=["document", "index"], name="passage_once")]

    def __str__(self) -> str:
        return f"{self.document_id}#{self.index}"
