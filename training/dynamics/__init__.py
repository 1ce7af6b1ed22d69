# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 dynamics`: videos of recorded actions, and actions of recorded videos."""
