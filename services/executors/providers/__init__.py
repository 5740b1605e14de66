"""What executor families share to talk to outside providers: their protocol, accounts and callbacks."""
