"""Quality numbers of a session, and the verdict."""
