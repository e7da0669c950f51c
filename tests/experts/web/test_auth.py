"""Logging in and out over plain HTTP, and the health check."""

from __future__ import annotations

from tests.experts.test_queue import item
from tests.experts.web.conftest import Place
from tests.experts.web.visitor import Visitor


def test_a_reload_shows_the_same_item_and_logging_out_gives_it_back(place: Place) -> None:
    place.push([item(1)])
    ann, ben = place.visitor("ann"), place.visitor("ben")
    page = ann.get("/")
    assert ann.get("/").item == page.item == "item001"
    assert ben.get("/").item is None
    ann.send(page, "/logout")
    assert ben.get("/").item == "item001"


def test_a_probe_is_told_whether_the_store_answers(place: Place) -> None:
    probe = Visitor(place.address)
    assert (probe.get("/healthz").status, probe.get("/healthz").text) == (200, "ok\n")
    with place.queue.database.write() as db:
        db.exec_driver_sql("ALTER TABLE person RENAME TO lost")
    assert probe.get("/healthz").status == 503
