"""What a user can do, done as a user does it: through processes, gRPC and the command line."""
