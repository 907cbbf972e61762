"""The Level-3 audit of hosts: what is asked in one round trip, how hosts are reached, what was found."""
