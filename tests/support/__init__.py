"""What the tests start and talk to: a Deepmoat server, llama-server, raw HTTP."""
