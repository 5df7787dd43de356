"""``python -m optreg``: the command line without the installed script."""

import sys

from optreg.cli import main

if __name__ == "__main__":
    sys.exit(main())
