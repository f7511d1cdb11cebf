"""A packet through the tables: translation into datapath actions and a megaflow."""
