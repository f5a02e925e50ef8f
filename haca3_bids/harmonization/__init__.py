"""Images of a session and a target go in, harmonized images come out."""
