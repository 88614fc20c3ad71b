"""A run in simulated time says little: a day has too many good moments to tell of each."""

import contextlib
import logging
from collections.abc import Iterator

import structlog


@contextlib.contextmanager
def quiet_log() -> Iterator[None]:
    """Only what is wrong is logged; a simulated day has too many good moments."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        yield
    finally:
        structlog.configure(**before)
