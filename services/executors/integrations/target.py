"""Which URLs may be written down as a webhook's target; configs, redirects and the admin service ask.

Where the host leads is the address guard's to judge, when the connection is made.
"""

from yarl import URL


def target(text: str) -> str:
    """Take an absolute http or https URL without credentials. Raises ValueError("must …")."""
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("must be an absolute http or https URL")
    if url.user is not None or url.password is not None:
        raise ValueError("must not hold credentials; use auth")
    if port not in (80, 443) and not (port and port >= 1024):
        raise ValueError("port must be 80, 443 or at least 1024")
    return text
