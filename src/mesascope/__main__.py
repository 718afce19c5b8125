"""``python -m mesascope`` is the command ``mesascope``."""

import sys

from mesascope.cli import main

if __name__ == "__main__":  # worker processes import this file, too
    sys.exit(main())
