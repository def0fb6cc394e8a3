"""Live rendering from the session's side: requests, replies, slots."""
