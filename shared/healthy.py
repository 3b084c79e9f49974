"""`python -m siftfunnel.shared.healthy PORT ...`: 0 where all these ports answer `GET /healthz` well.

For the health checks of containers, whose images have no other HTTP client. `http.client` asks no proxy,
whatever the environment says.
"""

import http.client
import sys
from collections.abc import Sequence

TIMEOUT_S = 3.0


def is_healthy(port: int) -> bool:
    """Whether `/healthz` on that port of this machine answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main(ports: Sequence[str]) -> int:
    """Check every port."""
    return 0 if all(is_healthy(int(port)) for port in ports) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
