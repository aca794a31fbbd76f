"""``python -m imblab``."""

import sys

from imblab.cli import main

if __name__ == "__main__":
    sys.exit(main())
