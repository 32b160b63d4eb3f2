"""Video: gameplay recordings and action files, from a folder to aligned episodes."""
