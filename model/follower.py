# SPDX-License-Identifier: Apache-2.0
"""A process that shares the network of another, which starts it: see `registry.Models`.

python -m cosmos3_ros.model.follower RANK COUNT MEETING, with the first process at stdin.
"""

import signal
import sys


def main() -> int:
    """Meet the others, and follow the first one until it leaves."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the first one says when it is over
    from .runtime.process_group import TIMEOUT
    from .runtime.rank_processes import end_with_the_first, meet

    end_with_the_first()
    rank, count, meeting = sys.argv[1:]
    meet(meeting, int(rank), int(count), TIMEOUT)
    from .registry import follow

    return follow()


if __name__ == "__main__":
    sys.exit(main())
