"""Every law tried on one vendor, as a card for people and as JSON for machines."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from fleet_sim.conform.laws import LAWS, Bench, BreachError, Law, WaivedError
from fleet_sim.quiet import quiet_log

_SHOWN_MAX: Final = 400


def score(
    vendor: str, laws: Sequence[Law] = LAWS, told: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Try each law.

    Args:
        vendor: its name in the registry.
        laws: which.
        told: is given each line of the card as it comes.

    Returns:
        `vendor`, `passed`, `failed`, `waived`, and `laws`: for each `law`, `outcome` (`kept`,
        `broken`, `waived`), `seen`, `took_s`.

    Raises:
        ConfigError: nobody knows this vendor.
    """
    bench = Bench(vendor)
    results = []
    for law in laws:
        began_s = time.perf_counter()
        outcome, seen = "kept", ""
        try:
            with quiet_log():
                law.check(bench)
        except WaivedError as reason:
            outcome, seen = "waived", str(reason)
        except BreachError as breach:
            outcome, seen = "broken", str(breach)
        except Exception as error:  # noqa: BLE001 -- a vendor that crashes has broken the law
            outcome, seen = "broken", f"{type(error).__name__}: {error}"
        took_s = round(time.perf_counter() - began_s, 2)
        results.append({"law": law.sentence, "outcome": outcome, "seen": seen, "took_s": took_s})
        told(f"  {outcome:<6}  {law.sentence}" + (f": {seen[:_SHOWN_MAX]}" if seen else ""))
    counts = {
        count: sum(result["outcome"] == outcome for result in results)
        for count, outcome in (("passed", "kept"), ("failed", "broken"), ("waived", "waived"))
    }
    return {"vendor": vendor, **counts, "laws": results}
