"""JSON text: reading, extracting and repairing it. Knows no schema."""
