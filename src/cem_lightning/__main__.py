"""``python -m cem_lightning``."""

from cem_lightning.cli import main

if __name__ == "__main__":
    main()
