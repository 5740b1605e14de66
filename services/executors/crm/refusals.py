"""The ways the family's actions fail, each made once; the actions answer them."""

from typing import Final

from services.executors.action import Certainty, ErrorClass, Failed


def _refusal(error_class: ErrorClass, code: str, message: str) -> Failed:
    return Failed(error_class, code, message, Certainty.NOT_DONE, constant=True)


CONTACT_NOT_FOUND: Final = _refusal(ErrorClass.CONTACT_DATA, "CONTACT_NOT_FOUND", "the contact has no record")
CONTACT_EXISTS: Final = _refusal(
    ErrorClass.VALIDATION, "CONTACT_EXISTS", "there is a contact of this address already"
)
CONTACT_AMBIGUOUS: Final = _refusal(
    ErrorClass.VALIDATION, "CONTACT_AMBIGUOUS", "the e-mail address and the phone are two contacts'"
)
PIPELINE_UNKNOWN: Final = _refusal(
    ErrorClass.CONFIGURATION, "PIPELINE_UNKNOWN", "the account has no such pipeline"
)
STAGE_UNKNOWN: Final = _refusal(ErrorClass.CONFIGURATION, "STAGE_UNKNOWN", "the pipeline has no such stage")
CAMPAIGN_UNKNOWN: Final = _refusal(
    ErrorClass.CONFIGURATION, "CAMPAIGN_UNKNOWN", "the account has no such campaign"
)
USER_UNKNOWN: Final = _refusal(ErrorClass.CONFIGURATION, "USER_UNKNOWN", "the account has no such user")
USER_INACTIVE: Final = _refusal(ErrorClass.CONFIGURATION, "USER_INACTIVE", "none of the users is active")
OPPORTUNITY_NOT_FOUND: Final = _refusal(
    ErrorClass.NOT_FOUND, "OPPORTUNITY_NOT_FOUND", "the contact has no such opportunity"
)
