"""Training, evaluation and data of DHMP."""
