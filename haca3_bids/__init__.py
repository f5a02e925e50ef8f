"""haca3_bids: harmonize the contrasts of brain MR images in a BIDS dataset (HACA3, Zuo et al. 2023)."""

__version__ = "0.1.0"
