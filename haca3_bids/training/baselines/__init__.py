"""Other methods of harmonization, to compare with: our own, smaller versions of the methods in figure 3 of HACA3."""
