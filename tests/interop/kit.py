"""What a check has at hand in the foreign client's own environment; standard library only.

A check (`tests/interop/<client>/check.py`) drives simulated devices with a client that we did not
write, and says of each thing that it tried whether it held:

    from kit import kit

    with kit.check("the wrong token is the client's own error"):
        ...raise or assert...

    kit.act("39000001", "turn_by_hand")     # somebody does something at a device
    kit.truth("39000001")["lock_state"]     # what is true of it, whatever anybody says
"""

import contextlib
import json
import os
import sys
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any


class Kit:
    """The fleet's control, and the results so far."""

    def __init__(self, control: str, result: Path) -> None:
        self._control = control
        self._result = result
        self._checks: list[dict[str, Any]] = []
        #: What is served: `vendor`, `devices`, `hubs` (name to URL), `broker`, `ca_file`,
        #: `settings` (of a gateway cell), see `tests/interop/serve.py`.
        self.about: dict[str, Any] = self._ask("about") if control else {}

    def _ask(self, question: str, **body: Any) -> Any:
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self._control}/{question}", data, method="POST")
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.loads(reply.read())

    def act(self, device: str, what: str) -> None:
        """Let somebody do something at a device: a habit, `fault:<name>` or `heal:<name>`."""
        self._ask("act", device=device, what=what)

    def strike(self, fault: str, **settings: float) -> None:
        """Let a fault of the link strike every device, until `heal`."""
        self._ask("strike", fault=fault, settings=settings)

    def heal(self) -> None:
        """End the links' fault."""
        self._ask("heal")

    def truth(self, device: str) -> Mapping[str, Any]:
        """What is true of a device: axis to value."""
        found: Mapping[str, Any] = self._ask("truth", device=device)
        return found

    @contextlib.contextmanager
    def check(self, name: str) -> Iterator[None]:
        """One thing that must hold; what it raises is kept, and the next one is tried."""
        began_s = time.monotonic()
        error = ""
        try:
            yield
        except Exception:  # noqa: BLE001 -- whatever the client raises is the finding
            error = traceback.format_exc(limit=6)
        took_s = round(time.monotonic() - began_s, 2)
        self._checks.append({"check": name, "passed": not error, "error": error, "took_s": took_s})
        self._result.write_text(json.dumps(self._checks))
        print(
            f"  {'ok  ' if not error else 'FAIL'} {name} ({took_s} s)", file=sys.stderr, flush=True
        )

    @contextlib.contextmanager
    def broken(self, device: str, fault: str) -> Iterator[None]:
        """While one of the vendor's own faults lasts at a device."""
        self.act(device, f"fault:{fault}")
        try:
            yield
        finally:
            self.act(device, f"heal:{fault}")

    @staticmethod
    @contextlib.contextmanager
    def refused(*errors: type[BaseException]) -> Iterator[None]:
        """What is tried in here must end in one of these errors, the client's own."""
        try:
            yield
        except errors:
            return
        raise AssertionError(f"it went through without {errors[0].__name__}")

    def eventually(self, holds: Callable[[], Any], within_s: float = 10.0) -> None:
        """Look again and again until it holds; for clients that answer without a loop."""
        until_s = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > until_s:
                raise AssertionError(f"not within {within_s} s")
            time.sleep(0.05)


kit = Kit(os.environ.get("INTEROP_CONTROL", ""), Path(os.environ["INTEROP_RESULT"]))
