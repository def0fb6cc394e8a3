"""A persona's documents: taken, cut into passages, and searched while somebody talks."""
