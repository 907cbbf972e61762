"""provchain: provision, harden, prove and upgrade a provincial business chain (地方业务链)."""
