"""The container's health check: exit 0 when the service can answer, 1 with the reason when it cannot."""

import os
import sys
import urllib.error
import urllib.request

PORT = os.environ.get("RAG_SERVER_PORT", "8000")


def main() -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=4) as reply:
            print(reply.read().decode())
            return 0
    except (urllib.error.URLError, OSError) as error:
        print(f"not ready on port {PORT}: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
