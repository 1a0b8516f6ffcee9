"""Trained weights with their StageSpecs; the model card is README.md."""
