# SPDX-License-Identifier: Apache-2.0
"""Every form in which clients write base64 gives the same bytes."""

import base64
import random
import urllib.parse

import pytest

from cosmos3_ros.serve.http.base64_text import decode_base64, split_data_uri

DATA = random.Random(0).randbytes(1000)  # not a multiple of three
PLAIN = base64.b64encode(DATA).decode()
FORMS = {
    "plain": PLAIN,
    "in lines": base64.encodebytes(DATA).decode(),
    "in lines of Windows": base64.encodebytes(DATA).decode().replace("\n", "\r\n"),
    "for URLs": base64.urlsafe_b64encode(DATA).decode(),
    "without padding": PLAIN.rstrip("="),
    "for URLs, without padding": base64.urlsafe_b64encode(DATA).decode().rstrip("="),
    "indented": "  " + "\n\t".join(PLAIN[at : at + 64] for at in range(0, len(PLAIN), 64)) + "\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_bytes(form):
    assert decode_base64("x", FORMS[form]) == DATA
    uri = "data:image/png;base64," + FORMS[form]
    assert split_data_uri(uri) == ("image/png", FORMS[form])


@pytest.mark.parametrize("text", ["?AAA", "AAAAA", "AA=A", "Ä", "\ud800", "AAAA!", "A", "a,b"])
def test_other_text_is_refused_by_the_name_of_its_field(text):
    with pytest.raises(ValueError, match=r"^image: "):
        decode_base64("image", text)


def test_data_uris_as_clients_write_them():
    for head in (
        "data:image/jpg;base64",
        "DATA:image/jpg;BASE64",
        "data:Image/JPG;charset=utf-8;name=a.jpg;base64",
        " data:image/jpg;base64",
    ):
        assert split_data_uri(f"{head},AA+A") == ("image/jpg", "AA+A")
    coded = urllib.parse.quote(PLAIN, safe="")
    assert "%" in coded
    assert split_data_uri(f"data:a/b;base64,{coded}") == ("a/b", PLAIN)


@pytest.mark.parametrize(
    "uri",
    [
        "data:image/png,raw",
        "data:image/png;base64",
        "http://a/;base64,AA",
        "",
        ",",
        "x" * 300 + ",",
    ],
)
def test_what_is_no_data_uri(uri):
    assert split_data_uri(uri) is None
