"""The ledger: JR/T 0314 objects, transactions, the state tree, and blocks as applied to the store."""
