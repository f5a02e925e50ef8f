"""Numbers that say whether a session can be trusted, and the verdict on them."""
