"""Writes the descriptors that Envoy's transcoder reads; `make envoy` and the test of deploy/envoy run it."""

import sys
from pathlib import Path
from typing import Final

import google.rpc
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.generate import compile_protos

# Envoy can show an error's details only if it knows their types, which no proto of ours imports.
_DETAILS: Final = "google/rpc/error_details.proto"


def write(path: Path) -> None:
    """Writes our protos and all they import to `path`, without what Envoy refuses to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shared = Path(next(iter(google.rpc.__path__))).parents[1]
    compile_protos(f"-I{shared}", "--include_imports", f"--descriptor_set_out={path}", _DETAILS)
    found = FileDescriptorSet.FromString(path.read_bytes())
    for method in (one for file in found.file for service in file.service for one in service.method):
        if method.options.HasExtension(annotations_pb2.http):
            rule = method.options.Extensions[annotations_pb2.http]
            for binding in (rule, *rule.additional_bindings):
                # Its transcoder takes a response_body for HttpBody only: answers come whole.
                binding.response_body = ""
    path.write_bytes(found.SerializeToString())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
