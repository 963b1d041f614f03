"""`python -m democlass` is `classify`."""

from democlass.cli import main

if __name__ == "__main__":
    main()
