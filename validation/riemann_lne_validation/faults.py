"""Old place of ``riemann_lne_validation.audit.faults``: ``python -m`` finds it here too."""

import sys

from .audit.faults import main

if __name__ == "__main__":
    sys.exit(main())
