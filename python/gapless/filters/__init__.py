"""Filters on the metadata of items: three dialects, one tree, SQL on the catalogue, bitsets."""
