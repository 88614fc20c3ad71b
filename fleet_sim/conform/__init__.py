"""The laws that every vendor is held to, ours and third parties', and a street to try them in."""
