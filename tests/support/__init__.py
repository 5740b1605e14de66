"""What tests share: stacks, clients, and waiting on signals instead of sleeping."""
