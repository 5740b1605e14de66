"""Reads our protos' comments, which compiled code does not keep; tools/openapi.py describes with them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from tools.generate import compile_protos


def comments() -> dict[str, str]:
    """The leading comment of each service, rpc, message, field, enum and enum value, by full name."""
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch) / "image.binpb"
        compile_protos("--include_source_info", f"--descriptor_set_out={image}")
        found = FileDescriptorSet.FromString(image.read_bytes())
    return {name: text for file in found.file for name, text in _of_file(file)}


def _of_file(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    names = {path: f"{file.package}.{name}" for path, name in _names(file)}
    for location in file.source_code_info.location:
        name = names.get(tuple(location.path))
        if name and location.leading_comments:
            yield name, " ".join(location.leading_comments.split())


def _names(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Where everything stands in the descriptor, by field numbers of descriptor.proto, and its name."""
    for at, message in enumerate(file.message_type):
        yield (4, at), message.name
        for place, field in enumerate(message.field):
            yield (4, at, 2, place), f"{message.name}.{field.name}"
    for at, enum in enumerate(file.enum_type):
        yield (5, at), enum.name
        for place, value in enumerate(enum.value):
            yield (5, at, 2, place), f"{enum.name}.{value.name}"
    for at, service in enumerate(file.service):
        yield (6, at), service.name
        for place, method in enumerate(service.method):
            yield (6, at, 2, place), f"{service.name}.{method.name}"
