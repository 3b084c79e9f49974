"""`python -m siftfunnel.cloud_server` runs `siftfunnel cloud`."""

import sys

from siftfunnel.cloud_server.cli import main

if __name__ == "__main__":
    sys.exit(main())
