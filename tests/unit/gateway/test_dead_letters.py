"""Orders about dead letters: left by people, taken by the cell, once."""

import resource

from gateway.dead_letters import Order, order, taken


def test_an_order_is_taken_once_and_by_its_cell_only(tmp_path):
    order(tmp_path, "nuki", replay=True, ids=[3, 4])

    assert taken(tmp_path, "ratgdo") == []
    assert taken(tmp_path, "nuki") == [Order(replay=True, ids=(3, 4))]
    assert taken(tmp_path, "nuki") == []


def test_a_cell_whose_name_begins_like_another_ones_takes_only_its_own(tmp_path):
    order(tmp_path, "nuki-2", replay=False, ids=[1])

    assert taken(tmp_path, "nuki") == []
    assert taken(tmp_path, "nuki-2") == [Order(replay=False, ids=(1,))]


def test_a_file_that_is_no_order_stays_where_it_is(tmp_path):
    odd = tmp_path / "nuki.order-1-1.json"
    for text in ("{", "[]", '{"ids": ["x"], "replay": true}', "null"):
        odd.write_text(text)
        assert taken(tmp_path, "nuki") == []
        assert odd.exists()


def test_orders_of_one_moment_do_not_overwrite_each_other(tmp_path):
    order(tmp_path, "nuki", replay=True, ids=[1])
    order(tmp_path, "nuki", replay=False, ids=[2])

    assert len(taken(tmp_path, "nuki")) == 2


def test_without_a_descriptor_to_spare_an_order_waits(tmp_path):
    order(tmp_path, "nuki", replay=True, ids=[1])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        without = taken(tmp_path, "nuki")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert without == []
    assert len(taken(tmp_path, "nuki")) == 1
