"""Shapes a film may have; apart from `canvas`, so that a web process can check one without OpenCV."""

ASPECTS = {"16:9": (16, 9), "9:16": (9, 16), "1:1": (1, 1), "4:5": (4, 5)}
