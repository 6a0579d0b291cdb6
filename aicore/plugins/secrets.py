# SPDX-License-Identifier: Apache-2.0
"""What keeps secrets out of everything that is shown: by how they look, and by value once a URL or option held them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from urllib.parse import quote, quote_plus, unquote

# A password runs to the last @ of the word, because one that was not percent-encoded may hold /, ? and @ itself.
# The look-ahead keeps host:port/path?mail=a@b as it is.
_PASSWORD = re.compile(r"(://[^\s/?#:@]*:)(?!\d+(?:[/?#,\s]|$))[^\s'\"]+@")
_SECRET_OPTION = re.compile(r"((?:^|[?&\s])[\w-]*(?:passw|secret|token|api_?key)[\w-]*=)[^&\s'\"]+", re.IGNORECASE)
# Process-wide, because a driver may put what it was given into any exception or log line of any run.
# What is shown for each.
_known_secrets: dict[str, str] = {}
# Shorter ones would blot out ordinary words; where they stand in a URL the patterns above find them.
_SHORTEST_EXACT = 4


def redact(text: str) -> str:
    """The text with passwords in URLs and secret-looking options replaced by ***."""
    return _SECRET_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))


def looks_secret(name: str) -> bool:
    """Whether an option of this name holds a secret, as far as its name tells."""
    return redact(f"{name}=x") != f"{name}=x"


def remember_secret(value: str, shown: str = "***") -> None:
    """From now on `scrub` and aicore's logger show `shown` for this value, wherever it stands."""
    for form in _forms(value):
        if len(form) >= _SHORTEST_EXACT and _known_secrets.get(form) != "***":
            _known_secrets[form] = shown


def _forms(value: str) -> set[str]:
    """As it is, and as others write it: into URLs and forms, whose hex digits have either case; into JSON; into the
    repr of a text or of bytes, whose quotes depend on the text around it."""
    quoted = {
        quote(value, safe="", errors="replace"),
        quote(value, errors="replace"),
        quote_plus(value, errors="replace"),
    }
    lower = {re.sub("%..", lambda match: match[0].lower(), form) for form in quoted}
    spelt = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    for shown in (repr, ascii):
        spelt |= {shown(value)[1:-1], shown(f"\"'{value}").removeprefix("'\"\\'")[:-1]}
    raw = value.encode(errors="replace")
    spelt |= {repr(raw)[2:-1], repr(b"\"'" + raw).removeprefix("b'\"\\'")[:-1]}
    return {value, unquote(value)} | quoted | lower | spelt


def scrub(text: str) -> str:
    """`redact`, and every secret that a URL of this process held. For text made by others: errors of drivers."""
    return replaced(redact(text), _known_secrets)


def replaced(text: str, shown: Mapping[str, str]) -> str:
    """With `shown` for each of these values, the longest first, wherever it stands; short ones as words only."""
    if not shown:
        return text
    forms = sorted(shown, key=len, reverse=True)
    each = (re.escape(form) if len(form) >= _SHORTEST_EXACT else rf"(?<!\w){re.escape(form)}(?!\w)" for form in forms)
    return re.sub("|".join(each), lambda match: shown[match[0]], text)


def text_of(error: BaseException) -> str:
    """What it says of itself; nothing if its own code fails."""
    try:
        return str(error)
    except Exception:
        return ""


def one_line(error: BaseException) -> str:
    """An exception's class and text without secrets, for a message."""
    text = " ".join(scrub(text_of(error)).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class ScrubFilter(logging.Filter):
    """Keeps secrets out of log records, their tracebacks included."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = scrub(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = scrub(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


# A logger's filter does not see what its children log.
for _name in ("aicore", "aicore.delivery"):
    logging.getLogger(_name).addFilter(ScrubFilter())
