"""Providers of messages on this machine: they speak the real ones' wire protocols and reach nobody."""
