"""Runs a batch and live sessions while parts of the stack die by plan, then checks what must hold."""
