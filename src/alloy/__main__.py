"""`python -m alloy`."""

import sys

from alloy.cli import main

if __name__ == "__main__":
    sys.exit(main())
