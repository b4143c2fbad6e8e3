"""``python -m riemann_lne`` is the command ``riemann-lne``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
