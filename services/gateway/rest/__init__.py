"""The public services over HTTP and JSON under /api/v1; the gateway mounts it.

The contract is the protos': each rpc's google.api.http says where it is, its messages what goes in and out.
`naming` holds every difference between the two forms; nothing here knows an rpc by name but `streaming`.
"""
