"""An image with its geometry, the canvas of the networks, and the slices of three orientations."""
