"""`python -m democlass` runs the command `classify`."""

from democlass.cli import main

if __name__ == "__main__":
    main()
