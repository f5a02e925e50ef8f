"""Reading, writing and finding the weights of the networks."""
