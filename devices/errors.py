"""Every failure we name, and whose move it is.

FleetError
├─ ConfigError            operator   refuse to start, exit 2
├─ RefusedError           caller     answer the command with the reason
├─ VendorError            vendor     stays inside its cell
│  ├─ DecodeError         bad bytes  dead-letter the frame
│  ├─ UnavailableError    may heal   back off, count towards the breaker
│  └─ RejectedError       will not   report; never retry
└─ StoreError             the disk   stop acknowledging, raise the alarm, try again
"""


class FleetError(Exception):
    """Root of every failure that doorfleet names."""


class ConfigError(FleetError):
    """The operator's move: `problems` lists every mistake at once, each with place and remedy."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class RefusedError(FleetError):
    """The caller's move: a command we will not carry out; `reason` goes into its outcome."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class VendorError(FleetError):
    """Raised for one vendor; `vendor` names the cell that holds it."""

    def __init__(self, vendor: str, detail: str) -> None:
        super().__init__(f"{vendor}: {detail}")
        self.vendor = vendor
        self.detail = detail


class DecodeError(VendorError):
    """Bytes that this vendor's firmware cannot mean: the frame becomes a dead letter."""


class UnavailableError(VendorError):
    """The vendor did not answer; it may heal. The command's outcome is unknown if it left us."""


class RejectedError(VendorError):
    """The vendor answered no; `detail` is its reason. Never retried."""


class StoreError(FleetError):
    """The disk's move: nothing was committed, nothing may be acknowledged."""
