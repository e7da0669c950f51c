"""Users: tokens shown once, roles, and shutting somebody out."""

from collections.abc import Callable

import pytest

from superalign.errors import UserError
from superalign.experts.queue import ExpertQueue
from superalign.experts.users import User, Users


@pytest.fixture
def users(open_queue: Callable[..., ExpertQueue]) -> Users:
    return Users(open_queue())


def test_a_token_leads_to_its_user_and_only_its_hash_is_kept(
    users: Users, open_queue: Callable[..., ExpertQueue]
) -> None:
    ann, bob = users.add("ann", "annotator"), users.add(" bob ", "admin")
    assert users.by_token(ann) == User("ann", "annotator")
    assert Users(open_queue()).by_token(bob) == User("bob", "admin")
    for wrong in ("", "x", ann[:-1], ann + "x", "\ud800"):
        assert users.by_token(wrong) is None
    with open_queue().database.read() as db:
        stored = [str(row) for table in ("person", "audit") for row in db.exec_driver_sql(f"SELECT * FROM {table}")]
    assert not any(ann in row or bob in row for row in stored)


def test_one_who_was_shut_out_may_come_back_with_a_new_token(users: Users) -> None:
    old = users.add("ann", "annotator")
    users.disable("ann")
    assert users.by_token(old) is None
    assert users.all() == [users.by_name("ann")] == [User("ann", "annotator", disabled=True)]
    assert users.by_name("an") is None
    new = users.add("ann", "adjudicator")
    assert users.by_token(new) == User("ann", "adjudicator")
    assert users.by_token(old) is None


@pytest.mark.parametrize("name", ["", "  ", "a" * 65, "a\nb", "a\0b", "a\x1b[2J"])
def test_a_name_that_cannot_be_is_refused(users: Users, name: str) -> None:
    with pytest.raises(UserError, match="name"):
        users.add(name, "annotator")


def test_a_name_that_is_taken_and_a_role_that_is_none_are_refused(users: Users) -> None:
    users.add("ann", "annotator")
    with pytest.raises(UserError, match="already"):
        users.add("ann", "admin")
    with pytest.raises(UserError, match="roles are annotator, adjudicator, admin"):
        users.add("bob", "king")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no user 'cid'"):
        users.disable("cid")
    assert [user.name for user in users.all()] == ["ann"]
