"""Evaluation: rankings against judgements, and the MixBench protocol."""
