# SPDX-License-Identifier: Apache-2.0
"""Yes-or-no questions about clips, put to a reasoner: answers, accuracy, calibration, a page."""
