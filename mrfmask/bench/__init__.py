"""Methods against each other: instances, runs in processes of their own, gaps, and a report."""
