"""`python -m textgan` is the `textgan` command."""

import sys

from textgan.cli import main

if __name__ == "__main__":
    sys.exit(main())
