"""What one volume costs on this machine, and what that means for very many."""
