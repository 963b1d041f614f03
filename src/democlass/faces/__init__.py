"""Faces in whole photos: the detector, and the regions that are cut for the networks."""
