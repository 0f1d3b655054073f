"""Diffusion samplers as pure steps on arrays: they work on NumPy arrays and on torch tensors alike."""
