# SPDX-License-Identifier: Apache-2.0
"""What all HTTP servers share: who may ask, what a request may say, errors, measurements."""
