"""Reads the URLs that accounts have notifications posted to; the settings of slack.py and webhook.py ask."""

from yarl import URL


def receiver_url(text: str) -> str:
    """Take an http or https URL, with any query; empty for none. Raises ValueError."""
    if not text:
        return text
    try:
        url = URL(text)
    except ValueError:
        raise ValueError("is not a URL") from None
    if url.scheme not in ("http", "https") or not url.host or url.user or url.fragment:
        raise ValueError("must be an http or https URL without credentials and fragment")
    return text
