"""The two commands: haca3-bids (the App) and haca3 (the toolbox)."""
