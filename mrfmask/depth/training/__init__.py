"""Trainings of masking and prediction networks; each resumes where it was stopped."""
