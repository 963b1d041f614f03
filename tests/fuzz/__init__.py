"""`make fuzz`: decodes damaged images with the real decoding processes, and sends hostile requests to a real service.

Everything is random but reproducible: the seed is printed, and the same seed creates the same images and requests.
pytest does not collect this package; `tests/test_fuzz.py` runs a small part of it.
"""
