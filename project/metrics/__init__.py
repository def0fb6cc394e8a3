"""What the service counts about itself, for Prometheus: instruments, where they are kept, the page."""
