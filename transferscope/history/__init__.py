"""History: what was scored and confirmed before, kept in a database, and what can be learned from it."""
