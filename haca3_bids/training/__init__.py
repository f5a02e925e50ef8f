"""Training of HACA3 with its artifact encoder and fusion network, of the mixture model, baselines and segmenters."""
