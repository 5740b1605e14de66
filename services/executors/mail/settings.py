"""The process-wide mail server, as a family's environment names it; communication and internal extend it."""

from dataclasses import dataclass

from services.executors.family import FamilySettings
from services.executors.mail.addresses import Sender, sender
from services.executors.mail.mailer import Server
from services.runtime.config import integer, setting, text


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings(FamilySettings):
    """What a family that sends e-mail needs to know."""

    smtp_host: str = setting("WAYFARER_SMTP_HOST", text, help="The mail server of accounts without one.")
    smtp_port: int = setting("WAYFARER_SMTP_PORT", integer(1, 65535), default=25, help="Its port.")
    smtp_user: str = setting("WAYFARER_SMTP_USER", text, default="", help="Empty for no login.")
    smtp_password: str = setting(
        "WAYFARER_SMTP_PASSWORD", text, default="", secret=True, help="Of that user."
    )
    mail_from: Sender = setting("WAYFARER_MAIL_FROM", sender, help='"Name <address>" or an address.')

    @property
    def mail_server(self) -> Server:
        """The server these settings name."""
        return Server(self.smtp_host, self.smtp_port, self.smtp_user, self.smtp_password)
