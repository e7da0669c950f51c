"""Sealing sample texts."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from superalign.store.redaction import TEXT_FIELDS, seal, unseal

texts = st.fixed_dictionaries(dict.fromkeys(TEXT_FIELDS, st.text(st.characters(codec=None), max_size=40)))


@given(texts)
def test_a_sealed_row_opens_to_what_it_was_even_with_broken_unicode(row: dict[str, str]) -> None:
    sealed = seal({"round": 1, **row})
    sealed["sealed"].encode("ascii")
    assert unseal(json.loads(json.dumps(sealed))) == {"round": 1, **row}
    assert seal(sealed) == sealed


def test_a_placeholder_tells_only_the_length() -> None:
    assert seal({"query": "two words"})["query"] == "[redacted: 2 words]"
    assert seal({"query": "one"})["query"] == "[redacted: 1 word]"
    assert unseal({"query": "never sealed"}) == {"query": "never sealed"}
