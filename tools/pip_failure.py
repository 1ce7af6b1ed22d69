# SPDX-License-Identifier: Apache-2.0
"""Why a command of the set-up has failed, where pip or the system says it plainly in its output."""

import re

PYPI = "https://pypi.org/simple"
# A link that pip has given up after its last try, or an index that it does not ask at all.
_GIVEN_UP = re.compile(
    r".*(?:Retry\(total=0,|ConnectionPool\(|not a trusted or secure host).*", re.MULTILINE
)
# What pip ends with when it got no list of versions, or a list but not the file.
_FATAL = re.compile(
    r"^ERROR: .*(?:\(from versions: none\)|ConnectionPool\()|Error: HTTPS?ConnectionPool\(",
    re.MULTILINE,
)
# The words of the system, of OpenSSL and of a proxy.
_CAUSE = re.compile(
    r"Connection refused|Connection reset by peer|Network is unreachable|No route to host|"
    r"Name or service not known|Temporary failure in name resolution|"
    r"No address associated with hostname|timed out|Tunnel connection failed: [\w ]+\w|"
    r"certificate verify failed(?:: [\w -]+\w)?|\[SSL: (?!CERT)\w+\] [\w ]+\w|"
    r"not a trusted or secure host"
)
_HOST = re.compile(r"(HTTPS?)ConnectionPool\(host='([^']+)', port=(\d+)\)")
_INDEXES = re.compile(r"^Looking in indexes: (.+)$", re.MULTILINE)


def plain_cause(output: str) -> str:
    """One clause of what the output of a failed command says, "" if it is nothing known.

    A full disk; or a package index, or a host of files, that cannot be reached: which, and why.
    """
    if "No space left on device" in output:
        return "no space left on the device"
    given_up = _GIVEN_UP.findall(output)
    if not given_up or not _FATAL.search(output):
        return ""
    last = given_up[-1]
    indexes = _INDEXES.findall(output)
    where = f"package index {indexes[-1] if indexes else PYPI}"
    if "from versions: none" not in output and (host := _HOST.search(last)):
        where = f"{host[1].lower()}://{host[2]}:{host[3]}"
    cause = _CAUSE.search(last)
    words = f": {cause[0]}" if cause else ""
    proxy = " through the proxy" if "ProxyError" in last else ""
    return f"cannot reach {where}{proxy}{words}"
