"""A search as a list of stages, which goes to JSON and back."""
