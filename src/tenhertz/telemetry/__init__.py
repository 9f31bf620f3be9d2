"""The fleet's intake: batches arrive, are checked, watched over, and handed to a store."""
