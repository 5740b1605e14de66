"""QuickJS in WebAssembly, and the process it runs in; worker.py starts it, nobody else imports it."""
