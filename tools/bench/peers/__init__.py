"""Binary convolutions of ours and of every peer, as contenders."""
