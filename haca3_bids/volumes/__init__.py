"""Images with their geometry, the canvas of the networks, and slices of three orientations."""
