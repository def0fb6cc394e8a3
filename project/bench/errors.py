"""What stops a measurement."""


class BenchError(Exception):
    """It could not be measured; the message says why and is for whoever started it."""
