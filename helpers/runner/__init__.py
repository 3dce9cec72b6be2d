"""The lessons, run from the command line."""
