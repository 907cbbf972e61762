"""The running node: what drives the consensus, the ledger and the peers."""
