"""`python -m attacker`."""

import sys

from attacker.cli import main

if __name__ == "__main__":
    sys.exit(main())
