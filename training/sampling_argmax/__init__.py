"""Sampling-argmax: train and evaluate networks that localise keypoints."""
