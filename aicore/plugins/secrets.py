# SPDX-License-Identifier: Apache-2.0
"""What keeps secrets out of everything that is shown: by how they look, and by value once a URL or option held them."""

from __future__ import annotations

import logging
import re
from urllib.parse import quote, unquote

# A password runs to the last @ of the word, because one that was not percent-encoded may hold /, ? and @ itself.
# The look-ahead keeps host:port/path?mail=a@b as it is.
_PASSWORD = re.compile(r"(://[^\s/?#:@]*:)(?!\d+(?:[/?#,\s]|$))[^\s'\"]+@")
_SECRET_OPTION = re.compile(r"((?:^|[?&\s])[\w-]*(?:passw|secret|token|api_?key)[\w-]*=)[^&\s'\"]+", re.IGNORECASE)
# Process-wide, because a driver may put what it was given into any exception or log line of any run.
_known_secrets: set[str] = set()
# Shorter ones would blot out ordinary words; where they stand in a URL the patterns above find them.
_SHORTEST_EXACT = 4


def redact(text: str) -> str:
    """The text with passwords in URLs and secret-looking options replaced by ***."""
    return _SECRET_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))


def looks_secret(name: str) -> bool:
    """Whether an option of this name holds a secret, as far as its name tells."""
    return redact(f"{name}=x") != f"{name}=x"


def remember_secret(value: str) -> None:
    """From now on `scrub` and aicore's logger replace this value wherever it stands."""
    for form in {value, quote(value, safe=""), unquote(value)}:
        if len(form) >= _SHORTEST_EXACT:
            _known_secrets.add(form)


def scrub(text: str) -> str:
    """`redact`, and every secret that a URL of this process held. For text made by others: errors of drivers."""
    text = redact(text)
    for secret in sorted(_known_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def one_line(error: BaseException) -> str:
    """An exception's class and text without secrets, for a message."""
    text = " ".join(scrub(str(error)).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class ScrubFilter(logging.Filter):
    """Keeps secrets out of log records, their tracebacks included."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = scrub(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = scrub(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


logging.getLogger("aicore").addFilter(ScrubFilter())
