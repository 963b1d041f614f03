"""`make fuzz`: damaged images through the real decoding processes, and hostile requests to a real service.

Everything follows from one seed, which is printed: the same seed makes the same images and requests. Not collected by
pytest; `tests/test_fuzz.py` tries a small part.
"""
