"""Searches that are tried one after another until one is sure enough."""
