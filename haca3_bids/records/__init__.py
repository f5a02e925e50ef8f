"""Records exchanged between processes and stored in files: frozen dataclasses, and their conversion to JSON."""
