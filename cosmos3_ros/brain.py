# SPDX-License-Identifier: Apache-2.0
"""The executables `brain`, `policy`, `reasoner` and `server`: see `nodes.inference_process`."""

import sys

from .nodes.inference_process import main, main_policy, main_reasoner, main_server

__all__ = ["main", "main_policy", "main_reasoner", "main_server"]

if __name__ == "__main__":
    sys.exit(main())
