"""JSON-RPC 2.0 over HTTP/1.1: for clients over mutual TLS, for local commands on a unix socket."""
