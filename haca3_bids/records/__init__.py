"""What travels between processes and into files: frozen dataclasses, and their way to and from JSON."""
