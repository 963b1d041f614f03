"""The HTTP API: the same classifier as a service. `app.py` says what is answered, `service.py` how it is found out."""
