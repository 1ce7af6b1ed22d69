# SPDX-License-Identifier: Apache-2.0
"""Who may ask: by Host, by what browsers add, and by the token."""

import pytest

from cosmos3_ros.serve.http.access import Access, host_name
from cosmos3_ros.serve.http.errors import RefusedError

OWN = {"Host": "127.0.0.1:8000"}


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8000", "localhost", "LOCALHOST:80", "[::1]:8000", "127.8.0.1", ""],
)
def test_the_loopback_is_called_by_its_own_names(host):
    Access("", "127.0.0.1").check({"Host": host})


@pytest.mark.parametrize(
    "host", ["evil.example:8000", "127.0.0.1.evil.example", "10.0.0.3", "[::2]"]
)
def test_another_name_that_leads_to_the_loopback_is_refused(host):
    with pytest.raises(RefusedError, match=r"host: expected 127\.0\.0\.1, got") as caught:
        Access("", "127.0.0.1").check({"Host": host})
    assert (caught.value.status, caught.value.code) == (403, "unknown_host")


def test_elsewhere_others_give_the_names():
    Access("", "0.0.0.0").check({"Host": "gpu.lab:8000"})


@pytest.mark.parametrize(
    "added",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
def test_web_pages_are_refused_with_or_without_the_token(added):
    with pytest.raises(RefusedError, match="web pages may not") as caught:
        Access("word", "127.0.0.1").check(OWN | added | {"Authorization": "Bearer word"})
    assert caught.value.status == 403


def test_the_token_is_asked_for_unless_a_path_is_public():
    access = Access("word", "127.0.0.1")
    access.check(OWN | {"Authorization": "Bearer word", "Sec-Fetch-Site": "none"})
    access.check(OWN, public=True)
    for given in ({}, {"Authorization": "Bearer words"}, {"Authorization": "Bearer word, word"}):
        with pytest.raises(RefusedError, match="missing or wrong") as caught:
            access.check(OWN | given)
        assert caught.value.status == 401


def test_names_of_host_headers():
    names = ["A.b:1", "[::1]:80", "[::1", "", ":80"]
    assert [*map(host_name, names)] == ["a.b", "::1", "::1", "", ""]
