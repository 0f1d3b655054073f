"""Training data: motion capture, procedural poses, virtual cameras and a model of the 2D detector's errors."""
