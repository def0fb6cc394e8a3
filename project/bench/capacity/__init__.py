"""How many machines so many customers need: measured costs, assumptions in one file, and plain arithmetic."""
