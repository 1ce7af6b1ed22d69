# SPDX-License-Identifier: Apache-2.0
"""What people run around the graph: demo, replay, recording, films."""
