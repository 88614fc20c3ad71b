"""Log lines: to stderr, as JSON for machines or in colours for people."""

import logging
import sys
from typing import Final

import structlog

from gateway.config import Log

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class _Foreign(logging.Handler):
    """What libraries say by `logging`, in the same form as our own lines."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(
            record.levelno,
            record.getMessage(),
            logger=record.name,
            **({"exc_info": record.exc_info} if record.exc_info else {}),
        )


def configure(config: Log) -> None:
    """Set up structlog for the process; called once, before any cell starts."""
    level = _LEVELS[config.level]
    logging.basicConfig(handlers=[_Foreign()], level=level, force=True)
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if config.format == "json":
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        processors.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
