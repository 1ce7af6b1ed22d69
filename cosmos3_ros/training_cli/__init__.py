# SPDX-License-Identifier: Apache-2.0
"""The commands `cosmos3 collect`, `train` and `eval`: demonstrations, trainings, measurements."""
