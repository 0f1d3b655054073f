"""Networks in PyTorch. Training and export use them; the run-time path never imports this package."""
