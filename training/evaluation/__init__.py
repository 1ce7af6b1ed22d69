# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint is measured by: closed loops, predicted futures, questions.

Statistics and the page of results.
"""
