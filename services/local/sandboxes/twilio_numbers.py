"""Which numbers do what in the Twilio sandbox, as constants; twilio.py and its calls read them.

Those below +15005550010 are Twilio's own test numbers. Ours: +150055530NN is never reached by a message, with
error 300NN; +150055540NN is a call that ends as CALLS says.
"""

from typing import Final

REFUSED_TO: Final = {
    "+15005550001": (21211, "Invalid 'To' Phone Number"),
    "+15005550002": (21612, "The 'To' phone number is not currently reachable via SMS"),
    "+15005550003": (21408, "Permission to send an SMS has not been enabled for the region"),
    "+15005550004": (21610, "Attempt to send to unsubscribed recipient"),
    "+15005550009": (21614, "'To' number is not a valid mobile number"),
}
REFUSED_FROM: Final = {
    "+15005550001": (21212, "Invalid 'From' Phone Number"),
    "+15005550007": (21606, "The 'From' phone number is not a valid, SMS-capable number for your account"),
    "+15005550008": (21611, "This 'From' number has exceeded the maximum number of queued messages"),
}
REFUSED_CALLS: Final = {
    "+15005550001": (21217, "Phone number does not appear to be valid"),
    "+15005550002": (21214, "'To' phone number cannot be reached"),
    "+15005550003": (21215, "Account not authorized to call"),
    "+15005550004": (21216, "Call blocked by Twilio blocklist"),
}
UNDELIVERED: Final = "+150055530"
CALLS: Final = {
    "+15005554001": "human",
    "+15005554002": "machine_end_beep",
    "+15005554003": "machine_end_silence",
    "+15005554004": "machine_end_other",
    "+15005554005": "fax",
    "+15005554006": "unknown",
    "+15005554007": "no-answer",
    "+15005554008": "busy",
    "+15005554009": "failed",
    "+15005554010": "machine_start",
}
NOT_ANSWERED: Final = ("no-answer", "busy", "failed")
