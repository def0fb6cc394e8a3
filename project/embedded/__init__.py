"""The self-contained stack: every part of the service on one machine, under one supervisor.

A program of its own (`python -m project.embedded`): it starts the parts, tells them where the others
are through their environment, and knows nothing of what they do.
"""
