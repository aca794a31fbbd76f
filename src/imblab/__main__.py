"""``python -m imblab``."""

import sys

from imblab.cli import main

sys.exit(main())
