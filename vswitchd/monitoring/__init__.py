"""Who looks on: mirrors, and exports of flows and samples."""
