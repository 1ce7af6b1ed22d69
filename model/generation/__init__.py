# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 generate`: pictures and videos from requests, one or many, into a folder of results."""
