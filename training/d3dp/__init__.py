"""Training of the D3DP lifter."""
