"""Vectors of texts: what lies close together means something alike."""
