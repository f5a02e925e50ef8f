"""The networks of HACA3 and of the mixture model."""
