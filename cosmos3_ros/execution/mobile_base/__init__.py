# SPDX-License-Identifier: Apache-2.0
"""A mobile base, which is led by velocities beside the arm that it carries."""
