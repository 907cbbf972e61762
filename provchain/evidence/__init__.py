"""Evidence of an audit for others: sealed in one file, signed, anchored on the chain, verified offline."""
