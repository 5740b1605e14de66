"""The crm family: what workflows do to the crm part of a contact, and that part's own service."""
