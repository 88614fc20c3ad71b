"""What a machine can carry, told before it is asked to."""

import resource
import socket
import sys

import pytest

from fleet_sim.stage import StageError
from fleet_sim.wire import budget
from fleet_sim.wire.budget import Need, Room, Sources

ENOUGH = Room(files=20_000, ports=28_232, spreads=True)
linux = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is there on Linux only")


def test_a_fleet_that_fits_has_no_problems() -> None:
    assert budget.problems(Need(sessions=15_000), ENOUGH) == []


def test_too_few_files_are_named_with_limit_need_and_remedy() -> None:
    (said,) = budget.problems(Need(sessions=30_000), ENOUGH)

    assert "30,128" in said
    assert "20,000" in said
    assert "LimitNOFILE" in said


def test_a_hub_needs_a_file_to_listen_and_one_for_whoever_asks() -> None:
    assert Need(listeners=2_000).files == 4_000 + budget.SPARE_FILES


def test_a_broker_that_we_start_has_our_limit_and_all_sessions() -> None:
    (said,) = budget.problems(Need(sessions=5_000, broker_sessions=25_000), ENOUGH)

    assert "the broker would need 25,128" in said


def test_ports_are_short_only_where_one_source_address_is_all_there_is() -> None:
    need, roomy = Need(sessions=40_000), Room(files=100_000, ports=28_232, spreads=True)
    assert budget.problems(need, roomy) == []

    (said,) = budget.problems(need, Room(files=100_000, ports=28_232, spreads=False))
    assert "25,408" in said
    assert "ip_local_port_range" in said


def test_what_is_too_much_for_this_machine_is_refused_before_anything_starts() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this machine opens as many files as anybody likes")

    with pytest.raises(budget.BudgetError, match="open files") as refused:
        budget.claim(Need(sessions=hard))

    assert isinstance(refused.value, StageError)  # exit code 3


def test_our_soft_limit_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, soft), hard))
    try:
        budget.claim(Need(sessions=300))
        raised, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert raised >= 300 + budget.SPARE_FILES


@linux
def test_source_addresses_are_as_many_as_their_ports_make_necessary() -> None:
    assert Sources("127.0.0.1", 100, 100).addresses == ["127.0.0.1"]
    assert Sources("127.0.0.1", 250, 100).addresses == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert Sources("192.0.2.7", 250, 100).addresses == ["127.0.0.1"]


@linux
def test_sockets_take_the_source_addresses_in_turns() -> None:
    sources, taken = Sources("127.0.0.1", 3, 1), []
    for _ in range(6):
        with socket.socket() as one:
            sources.bind(one)
            taken.append(one.getsockname()[0])

    assert sorted(taken) == sorted(["127.0.0.1", "127.0.0.2", "127.0.0.3"] * 2)


@linux
def test_an_address_that_ran_out_of_ports_gets_a_neighbour() -> None:
    sources = Sources("127.0.0.1", 10, 100)
    sources.widen()

    assert sources.addresses == ["127.0.0.1", "127.0.0.2"]
