"""What families of networks share."""
