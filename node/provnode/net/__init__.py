"""Between nodes: TLS with the national algorithms, peers, gossip and block sync."""
