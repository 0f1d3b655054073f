"""What every training script needs: checkpoints, averaged weights, a learning-rate schedule over wall time, run logs."""
