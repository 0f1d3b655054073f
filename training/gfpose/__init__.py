"""Training and evaluation of GFPose."""
