"""What one transaction does to a database (RFC 7047, section 5.2), and who may do it."""
