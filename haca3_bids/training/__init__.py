"""Training of HACA3, its artifact encoder and its fusion network."""
