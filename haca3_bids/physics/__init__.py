"""A simulator of MR images: tissues, anatomy, signal equations, scanner."""
