"""Diagnoses: measures of the modality gap, what they mean and what to do."""
