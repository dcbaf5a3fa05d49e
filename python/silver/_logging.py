"""The standard `logging` goes to the slot's log, with nothing to configure, until the application configures it."""

import logging
import sys

import _silver

_levels = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def _printed(record):
    """Whether a handler of the application has this record on the standard error or output, which is logged too."""
    logger = logging.getLogger(record.name) if record.name != "root" else logging.root
    while logger:
        for handler in logger.handlers:
            if (getattr(handler, "stream", None) in (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)
                    and record.levelno >= handler.level and handler.filter(record)):
                return True
        if not logger.propagate:
            break
        logger = logger.parent
    return False


class SlotHandler(logging.Handler):
    """Sends records to the slot's log, with their level and their logger's name."""

    def __init__(self):
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record):
        try:
            if _printed(record):
                return
            level = 3 if record.levelno >= 40 else 2 if record.levelno >= 30 else 1 if record.levelno >= 20 else 0
            _silver.log(level, record.name, self.format(record))
        except Exception:
            self.handleError(record)


def install():
    handler = SlotHandler()
    logging.root.addHandler(handler)
    logging.root.setLevel(_levels.get(_silver.log_level(), logging.INFO))
    configure = logging.basicConfig

    def basicConfig(**options):
        """As ever; but only a level, or nothing at all, leaves the records with the slot's log."""
        level = options.get("level")
        if set(options) <= {"level"}:
            if level is not None:
                logging.root.setLevel(level)
            return
        logging.root.removeHandler(handler)
        configure(**options)

    basicConfig.__wrapped__ = configure
    logging.basicConfig = basicConfig
