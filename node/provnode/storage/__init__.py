"""What a node keeps on disk: the block store, the consensus write-ahead log and the last-signed record."""
