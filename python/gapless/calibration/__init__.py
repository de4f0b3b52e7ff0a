"""Calibrations: from the scores of a pair type to probabilities of relevance."""
