"""REST calls about the account itself. They live here because accounts lie below the API."""
