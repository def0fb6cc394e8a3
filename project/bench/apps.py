"""Measuring, loading and breaking a stack through its public contracts. Not part of what is served."""

from django.apps import AppConfig


class BenchConfig(AppConfig):
    name = "project.bench"
    label = "bench"
