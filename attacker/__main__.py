"""`python -m siftfunnel.attacker`."""

import sys

from siftfunnel.attacker.cli import main

if __name__ == "__main__":
    sys.exit(main())
