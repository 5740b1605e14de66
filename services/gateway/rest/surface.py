"""Which services HTTP serves, and why not the others; `api`, the OpenAPI document and a test read it."""

from typing import Final

from google.protobuf.descriptor import ServiceDescriptor
from wayfarer.admin.v1 import admin_service_pb2
from wayfarer.crm.v1 import consent_service_pb2, contact_service_pb2
from wayfarer.event.v1 import event_service_pb2
from wayfarer.execution.v1 import (
    bulk_service_pb2,
    editing_service_pb2,
    execution_service_pb2,
    overview_service_pb2,
    template_service_pb2,
    wait_service_pb2,
    workflow_service_pb2,
)

SERVED: Final[tuple[ServiceDescriptor, ...]] = tuple(
    service
    for module in (
        execution_service_pb2,
        overview_service_pb2,
        workflow_service_pb2,
        editing_service_pb2,
        wait_service_pb2,
        event_service_pb2,
        contact_service_pb2,
        consent_service_pb2,
        bulk_service_pb2,
        template_service_pb2,
        admin_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
)
"""In the order the documentation shows them."""

NOT_SERVED: Final = {
    "wayfarer.action.v1.ActionExecutor": "the engine alone calls it",
    "wayfarer.action.v1.ProviderService": "AdminService is its front; callbacks have routes of their own",
    "wayfarer.crm.v1.ContactRecordService": "ContactService is its front",
    "wayfarer.crm.v1.CrmService": "its family serves it, to callers inside who name the account",
    "wayfarer.integrations.v1.IntegrationsAdminService": "its family serves it, to callers inside",
    "wayfarer.membership.v1.MembershipService": "its family serves it, to callers inside",
    "wayfarer.notification.v1.NotificationService": "its family serves it, to callers inside",
}
"""Services whose rpcs have no HTTP form, with the reason."""
