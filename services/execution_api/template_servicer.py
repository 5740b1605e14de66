"""Serves TemplateService: message templates; services/execution_api/__main__ adds it."""

import orjson
from wayfarer.execution.v1 import template_service_pb2 as pb
from wayfarer.execution.v1 import template_service_pb2_grpc

from execution_engine.errors import InvalidValue, PageTokenInvalid
from execution_engine.store import templates
from execution_engine.store.accounts import account_transaction
from execution_engine.store.templates import TemplateView
from services.execution_api import convert, paging
from services.execution_api.auth import caller
from services.execution_api.showing import Engine
from services.runtime.interceptors import Context

_MOST_BYTES = 262_144


class TemplateServicer(template_service_pb2_grpc.TemplateServiceServicer):
    """The rpcs of TemplateService; the proto says what each does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def PutTemplate(self, request: pb.PutTemplateRequest, context: Context) -> pb.PutTemplateResponse:
        account_id, engine = caller().account_id, self._engine
        if request.action_type not in engine.routing.catalogue.types:
            text = f"no executor serves {request.action_type!r}"
            raise InvalidValue("action_type", "unknown_type", text)
        content = convert.plain(request.content, "content")
        if len(orjson.dumps(content)) > _MOST_BYTES:
            raise InvalidValue("content", "too_large", f"must be at most {_MOST_BYTES} bytes as JSON")
        async with account_transaction(engine.pool, account_id) as connection:
            view = await templates.put(
                connection, engine.vault, account_id, request.key, request.action_type, content
            )
        return pb.PutTemplateResponse(template=_shown(view))

    async def GetTemplate(self, request: pb.GetTemplateRequest, context: Context) -> pb.GetTemplateResponse:
        account_id, engine = caller().account_id, self._engine
        async with account_transaction(engine.pool, account_id) as connection:
            view = await templates.get(connection, engine.vault, account_id, request.key, request.version)
        return pb.GetTemplateResponse(template=_shown(view))

    async def ListTemplates(
        self, request: pb.ListTemplatesRequest, context: Context
    ) -> pb.ListTemplatesResponse:
        account_id, size = caller().account_id, paging.size_of(request.page_size)
        mark = paging.filter_mark(request)
        after = _after(paging.decode(request.page_token, mark) or b"")
        async with account_transaction(self._engine.pool, account_id) as connection:
            views = await templates.page(connection, self._engine.vault, account_id, after, size + 1)
        more = paging.encode(views[size - 1].template.key.encode(), mark) if len(views) > size else ""
        return pb.ListTemplatesResponse(templates=[_shown(v) for v in views[:size]], next_page_token=more)


def _shown(view: TemplateView) -> pb.Template:
    template = view.template
    return pb.Template(
        key=template.key,
        version=template.version,
        action_type=template.action_type,
        content=convert.struct(dict(template.content)),
        create_time=convert.timestamp(view.created_at),
    )


def _after(raw: bytes) -> str:
    if not raw.isascii() or b"\0" in raw:
        raise PageTokenInvalid
    return raw.decode()
