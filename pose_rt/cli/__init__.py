"""The command line. typer and rich live only here; everything heavy is imported inside the commands."""
