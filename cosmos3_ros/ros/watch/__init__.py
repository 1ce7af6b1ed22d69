# SPDX-License-Identifier: Apache-2.0
"""What nodes watch around them: endpoints of the graph, their inputs, and who says stop."""
