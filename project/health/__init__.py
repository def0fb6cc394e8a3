"""Is the process alive, can it serve, and how busy is it."""
