"""Names, discovery and description of BIDS datasets."""
