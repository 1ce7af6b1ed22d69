# SPDX-License-Identifier: Apache-2.0
"""Best of N: several chunks for one observation, their futures judged, one of them played."""
