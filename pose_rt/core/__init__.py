"""Types, skeletons, cameras and arithmetic that everything else stands on. NumPy and the standard library only."""
