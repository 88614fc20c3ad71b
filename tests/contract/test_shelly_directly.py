"""The laws again, for Shellys that are servers: WebSocket and HTTP, with and without a password."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

import pytest

from fleet_sim.conform.laws import LAWS, Bench, Law, WaivedError, busy_street
from vendors.sim import Addresses, FleetSpec, RandomFor

VARIANTS: Final[Mapping[str, Mapping[str, object]]] = {
    "websocket": {"transport": "websocket", "profile": "cover"},
    "websocket with a password": {"transport": "websocket", "password": "secret-password"},
    "mqtt with statuses": {"status_ntf": True},
}
#: A relay cannot do what every command asks for, so these keep fewer laws.
RELAYS: Final[Mapping[str, Mapping[str, object]]] = {
    "relay": {"profile": "opener"},
    "relay by websocket": {"profile": "opener", "transport": "websocket"},
}
_COMMANDS: Final = "each_command_is_seen_to_be_done"


@cache
def bench(variant: str) -> Bench:
    """A bench whose fleets all have the variant's options."""
    made = Bench("shelly")
    module: Any = made.module
    options = {**VARIANTS, **RELAYS}[variant]

    def fleet(spec: FleetSpec, rng_for: RandomFor) -> Any:
        return module.fleet(replace(spec, options={**options, **spec.options}), rng_for)

    def settings(spec: FleetSpec, at: Addresses) -> Any:
        return module.gateway_settings(replace(spec, options=options), at)

    made.module = SimpleNamespace(
        HABITS=module.HABITS, FAULTS=module.FAULTS, fleet=fleet, gateway_settings=settings
    )
    return made


@pytest.mark.parametrize("variant", [*VARIANTS, *RELAYS])
@pytest.mark.parametrize(
    "law", [law for law in LAWS if "fault" not in law.sentence], ids=lambda law: law.name
)
def test_a_variant_keeps_the_law(variant: str, law: Law) -> None:
    if variant in RELAYS and law.name == _COMMANDS:
        pytest.skip("a relay stops nowhere and goes to no position")
    try:
        law.check(bench(variant))
    except WaivedError as reason:
        pytest.skip(str(reason))


def play(variant: str, fault: str | None) -> Any:
    async def ill(here: Any) -> None:
        await busy_street(here, fault)

    return bench(variant).street(ill, fresh=True)


@pytest.mark.parametrize("fault", sorted(set(bench("websocket").module.FAULTS)))
@pytest.mark.parametrize("variant", [*VARIANTS, *RELAYS])
def test_each_fault_of_a_variant_shows_and_heals(variant: str, fault: str) -> None:
    here = play(variant, fault)

    for device in here.devices:
        true = here.finally_true(device.name)
        axes = here.twins[device.name].axes
        seen = {key: axes[key].value for key in true if key in axes}
        assert seen == dict(true)


@pytest.mark.parametrize("fault", ["ws_rpc_hangs", "stale_nonce", "reboot", "drop_loop"])
def test_a_fault_of_a_websocket_makes_a_difference(fault: str) -> None:
    variant = "websocket with a password"

    assert play(variant, fault).sent != play(variant, None).sent


def test_a_reed_that_bounces_makes_a_difference_to_a_relay() -> None:
    def closed(*faults: str) -> Any:
        async def doors(here: Any) -> None:
            for what in (*faults, "leave", "close_up"):
                here.act(here.devices[0], what)
                await asyncio.sleep(60)
            assert here.twins[here.devices[0].name].axes["position"].value == "FullyClosed"

        return bench("relay").street(doors, fresh=True)

    assert closed("fault:reed_bounce").sent != closed("heal:reed_bounce").sent


def test_while_a_websocket_hangs_the_state_comes_by_http_and_commands_go_by_it() -> None:
    done: list[bool] = []

    async def hang(here: Any) -> None:
        device = here.devices[0]
        here.act(device, "fault:ws_rpc_hangs")
        await asyncio.sleep(30)
        was_open = here.twins[device.name].axes["position"].value == "FullyOpened"
        name = "MoveToFullyClosed" if was_open else "MoveToFullyOpen"
        done.append(await here.send(device, name))
        await asyncio.sleep(60)
        done.append(here.holds(device, name))

    here = bench("websocket with a password").street(hang, count=1, fresh=True)

    assert done == [True, True]
    assert any(frame.source == "http/shelly-0001" for frame in here.frames)
