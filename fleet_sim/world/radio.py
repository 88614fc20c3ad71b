"""How good a device's radio is: what is late, and how often the link is cut; pure."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from fleet_sim.world.fields import Share, Strict, known


class Radio(Strict):
    """What a device's way to its host does to it.

    Devices behind one hub share its link: it is cut for all of them, and nothing on it is late.
    """

    late: Share = Field(default=0.0, description="The part of the messages that come late.")
    late_ms: int = Field(
        default=400, gt=0, le=60_000, description="How late at most; half of it in the mean."
    )
    cuts_per_day: float = Field(
        default=0.0, ge=0, le=86_400, description="How often the link is cut, and made anew."
    )

    def worse(self, other: "Radio") -> "Radio":
        """Both troubles at once."""
        return Radio(
            late=1 - (1 - self.late) * (1 - other.late),
            late_ms=max(self.late_ms, other.late_ms),
            cuts_per_day=self.cuts_per_day + other.cuts_per_day,
        )

    @property
    def perfect(self) -> bool:
        """Whether it does nothing to anybody."""
        return not (self.late or self.cuts_per_day)


PERFECT: Final = Radio()
#: Names as scenarios write them; the figures are guesses of ours.
QUALITIES: Final[Mapping[str, Radio]] = {
    "perfect": PERFECT,
    "good": Radio(late=0.01, late_ms=300, cuts_per_day=0.05),
    "fair": Radio(late=0.08, late_ms=800, cuts_per_day=1.0),
    "poor": Radio(late=0.25, late_ms=2_500, cuts_per_day=8.0),
}


def _named(given: object) -> object:
    return QUALITIES[known(given, QUALITIES, "radio")] if isinstance(given, str) else given


def _field() -> dict[str, Any]:
    own = Radio.model_json_schema()
    return {"anyOf": [{"type": "string", "enum": list(QUALITIES)}, own]}


RadioField = Annotated[Radio, BeforeValidator(_named), WithJsonSchema(_field())]
