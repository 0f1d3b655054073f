"""Where frames come from and where results go: sources, sinks, drawing and the readers of saved results."""
