"""What backends behind an HTTP SDK share: clients, cutting a wait short, event streams, errors."""
