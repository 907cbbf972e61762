"""How large anything may be that comes over the wire or from disk."""

MAX_BLOCK_BYTES = 16 * 1024 * 1024  # JR/T 0314 clause 7: at most 16 MB a block
MAX_TX_BYTES = 4 * 1024 * 1024
MAX_FRAME_BYTES = MAX_BLOCK_BYTES + 64 * 1024
MAX_VALIDATORS = 128
MAX_TXS = 65_536
MAX_BATCH = 4_096
MAX_SYNC_BLOCKS = 64
MAX_NAME = 128
MAX_SIGNATURE = 128
MAX_HEIGHT = 2**62
MAX_ROUND = 2**31
