"""Alignments: affine maps that take the modality gap out of the scores."""
