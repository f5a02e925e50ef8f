"""The networks of HACA3, of the mixture model and of super-resolution."""
