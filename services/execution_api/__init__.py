"""The public gRPC process: executions, workflows and contacts; one servicer per service, no logic in them."""
